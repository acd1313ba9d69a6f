"""SQLite's statements. Rows travel as one JSON array, there and back, so that a statement is one step of
SQLite's whatever their number: Python's module lets go of the interpreter's lock at each step, and beside busy
tasks the journal's thread then had to win it back for every row (191 us a task; so it is 20).

A unary plus keeps the planner from the partial index where the primary key is better.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Collection, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

import msgspec
from django.db import OperationalError

# Epoch seconds by the database's clock (SQLite has none of its own: it is this machine's).
NOW = "((julianday('now') - 2440587.5) * 86400.0)"

INSERT = """INSERT INTO django_ztask_task
    (uuid, function_name, args, kwargs, retry_count, next_attempt, created, status, queue, priority,
     codec, mac, attempts, failures, crashes, interruptions, replays, meta, pool)
    VALUES (%s, %s, %s, %s, %s, %s, %s, 'QUEUED', %s, %s, %s, %s, 0, 0, 0, 0, 0, %s, %s)"""

_INSERT_MANY = """INSERT INTO django_ztask_task
    (uuid, function_name, args, kwargs, retry_count, next_attempt, created, queue, priority, codec, mac,
     meta, pool, status, attempts, failures, crashes, interruptions, replays)
    SELECT new.*, 'QUEUED', 0, 0, 0, 0, 0 FROM (VALUES {}) AS new WHERE column1 IS NOT NULL"""

_EMPTY = (None,) * 13

# Rows of an INSERT: there is one text for each of these numbers (a connection keeps the statements it has
# prepared), and what is missing to the next number are empty rows, left out by its WHERE.
SIZES = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 500)

AGAIN = " ON CONFLICT (uuid) DO NOTHING"

_DUE = """SELECT {} FROM django_ztask_task
    WHERE status = 'QUEUED' AND pool = %s AND priority = %s AND next_attempt <= %s
      AND function_name NOT IN (SELECT value FROM json_each(%s))
    ORDER BY next_attempt, created LIMIT %s"""

DUE = _DUE.format("uuid")

# Of several pools: the first rows of each, put in order.
_MERGED = "SELECT uuid FROM ({}) ORDER BY next_attempt, created LIMIT %s"
_ONE_POOL = f"SELECT * FROM ({_DUE.format('uuid, next_attempt, created')})"

NEXT_DUE = """SELECT min(next_attempt) FROM django_ztask_task
    WHERE status = 'QUEUED' AND pool = %s AND priority = %s AND next_attempt > %s AND next_attempt < 9e999"""

_CLAIM = """UPDATE django_ztask_task
    SET status = 'RUNNING', node = %s, claimed = %s, attempts = attempts + 1
    WHERE uuid {} AND +status = 'QUEUED' AND +next_attempt <= %s
      AND function_name NOT IN (SELECT value FROM json_each(%s))
      AND pool IN ({{pools}})"""
_COLUMNS = """uuid, function_name, codec, args, kwargs, mac, created, {}, priority, retry_count, attempts,
    replays, crashes, meta, pool"""

# A lone row is one step anyway.
CLAIM_ONE = _CLAIM.format("= %s") + " RETURNING " + _COLUMNS.format("next_attempt")

CLAIM = _CLAIM.format("IN (SELECT value FROM json_each(%s))")

# What CLAIM has changed. (JSON has room for 15 digits of a time, which needs 17.)
CLAIMED = f"""SELECT {_COLUMNS.format("printf('%%!.17g', next_attempt) AS due")} FROM django_ztask_task
    WHERE uuid IN (SELECT value FROM json_each(%s))
      AND +status = 'RUNNING' AND +node = %s AND claimed = %s"""


def _columns(names: str) -> str:
    """Each array of an array as a row. (The operator ->> says it shorter, from SQLite 3.38 on.)"""
    return ", ".join(f"json_extract(value, '$[{n}]') AS {name}" for n, name in enumerate(names.split()))


# The most frequent end in few words: an array is taken apart column by column.
SUCCEED = f"""UPDATE django_ztask_task AS task
    SET status = 'SUCCEEDED', started = new.started, finished = new.finished, result = new.result
    FROM (SELECT {_columns("uuid boot attempt started finished result")} FROM json_each(%s)) AS new
    WHERE task.uuid = new.uuid AND task.node = new.boot AND task.attempts = new.attempt
      AND +task.status = 'RUNNING'"""

# (The due time in whole microseconds: SQLite's reading of a number of 17 digits is not exact.)
FINISH = f"""UPDATE django_ztask_task AS task
    SET status = CASE WHEN task.cancel_requested IS NULL THEN new.status ELSE 'CANCELLED' END, result = new.result,
        retry_count = new.retry_count, next_attempt = coalesce(new.due / 1e6, task.next_attempt), started = new.started,
        finished = CASE WHEN new.status = 'QUEUED' AND task.cancel_requested IS NULL THEN NULL ELSE new.finished END,
        failed = CASE WHEN task.cancel_requested IS NULL THEN new.failed END, failures = task.failures + new.failures,
        interruptions = task.interruptions + new.interruptions, crashes = task.crashes + new.crashes,
        pool = coalesce(new.pool, task.pool), last_exception = coalesce(new.exception, task.last_exception),
        traceback = coalesce(new.traceback, task.traceback),
        node = CASE WHEN task.cancel_requested IS NULL THEN new.node ELSE new.boot END
    FROM (SELECT {
    _columns(
        "status retry_count due started finished failed failures interruptions crashes result exception traceback "
        "node pool uuid boot attempt"
    )
} FROM json_each(%s)) AS new
    WHERE task.uuid = new.uuid AND task.node = new.boot AND task.attempts = new.attempt
      AND +task.status = 'RUNNING'"""

ATTEMPT = f"""INSERT INTO django_ztask_attempt
    (task_id, attempt, kind, node, started, finished, exception, traceback)
    SELECT {_columns("task_id attempt kind node started finished exception traceback")}
    FROM json_each(%s) WHERE true ON CONFLICT DO NOTHING"""

ONCE = "(CASE WHEN json_valid(meta) THEN json_extract(meta, '$.at_most_once') END) IS 1"

# at_most_once tasks that have been started: marked, or by an earlier attempt.
STARTED_ONCE = f"(failures > 0 OR interruptions > 0 OR started IS NOT NULL) AND {ONCE}"

NOT_AMONG = "uuid NOT IN (SELECT value FROM json_each(%s))"

FAIL_INTERRUPTED = f"""UPDATE django_ztask_task
    SET status = 'FAILED', failed = %s, finished = %s, last_exception = %s, interruptions = interruptions + 1
    WHERE status = 'RUNNING' AND node = %s AND started IS NOT NULL AND {ONCE}
      AND cancel_requested IS NULL AND {NOT_AMONG}
    RETURNING uuid, function_name, attempts, started"""

# (One that was marked or cancelled since the others looked stays where it is: for the next round.)
RECOVER = f"""UPDATE django_ztask_task SET status = 'QUEUED', node = NULL, pool = {{pool}}
    WHERE status = 'RUNNING' AND node = %s AND {NOT_AMONG}
      AND cancel_requested IS NULL AND NOT (started IS NOT NULL AND {ONCE})
    RETURNING uuid"""

REPLAY = f"""UPDATE django_ztask_task
    SET status = 'QUEUED', next_attempt = %s, failed = NULL, started = NULL, finished = NULL, node = NULL,
        cancel_requested = NULL, replays = replays + 1,
        retry_count = coalesce(CASE WHEN json_valid(meta) THEN json_extract(meta, '$.retry_count') END, %s)
    WHERE codec <> 'legacy' AND NOT ({STARTED_ONCE})"""

COUNT_STARTED_ONCE = f"SELECT count(*) FROM django_ztask_task WHERE status = 'FAILED' AND {STARTED_ONCE}"

# What somebody wrote by hand into a column of numbers, each found by one seek in the index: infinity, texts, BLOBs.
NO_TIME = ("next_attempt IS NULL", "next_attempt >= 9e999")
NO_PRIORITY = "priority >= ''"

PRUNE = """DELETE FROM django_ztask_task WHERE uuid IN (
        SELECT uuid FROM django_ztask_task WHERE status = '{}' AND finished < %s
        ORDER BY finished LIMIT %s) RETURNING uuid"""

PRUNE_ATTEMPTS = "DELETE FROM django_ztask_attempt WHERE task_id IN (SELECT value FROM json_each(%s))"

FAIL_UNKNOWN = """UPDATE django_ztask_task
    SET status = 'FAILED', failed = %s, finished = %s, last_exception = %s
    WHERE status = 'QUEUED' AND NOT EXISTS (SELECT 1 FROM django_ztask_pause WHERE queue IN (django_ztask_task.queue, '')) AND (next_attempt <= %s OR replays > 0)
      AND function_name IN (SELECT value FROM json_each(%s)) RETURNING uuid, function_name"""


def texts(values: Collection[str]) -> str:
    """Several texts as one parameter."""
    return json.dumps(list(values))


def insert(cursor: Any, values: Sequence[tuple[Any, ...]], again: bool = False) -> None:
    """Up to 500 rows; those that are there already are left as they are if `again`. One step, in autocommit
    with its commit: beside a busy thread, executemany() held the lock for a second."""
    if len(values) == 1:
        cursor.execute(INSERT + AGAIN if again else INSERT, values[0])
        return
    size = SIZES[bisect_left(SIZES, len(values))]
    padded = chain(chain.from_iterable(values), _EMPTY * (size - len(values)))
    cursor.execute(_insert_many(size, again), list(padded))


@lru_cache(maxsize=2 * len(SIZES))
def _insert_many(size: int, again: bool) -> str:
    row = f"({', '.join(['%s'] * len(_EMPTY))})"
    return _INSERT_MANY.format(", ".join([row] * size)) + (AGAIN if again else "")


def due(
    cursor: Any, pools: Sequence[str], priority: int, now: float, unknown: Collection[str], limit: int
) -> list[str]:
    """Ids of due rows of these pools and that priority, in the order they are to start."""
    select, names = DUE, texts(unknown)
    given: list[Any] = [value for pool in pools for value in (pool, priority, now, names, limit)]
    if len(pools) > 1:
        select = _MERGED.format(" UNION ALL ".join([_ONE_POOL] * len(pools)))
        given.append(limit)
    return [row[0] for row in _read(cursor, select, "uuid", given)]


def claim(
    cursor: Any,
    boot: str,
    claimed: Any,
    ids: Collection[str],
    now: float,
    unknown: Collection[str],
    pools: Collection[str],
) -> list[Any]:
    """The rows that were changed, as `rows.claimed` reads them."""
    if len(ids) == 1:
        cursor.execute(_for_pools(CLAIM_ONE, len(pools)), [boot, claimed, *ids, now, texts(unknown), *pools])
        return list(cursor.fetchall())
    named = texts(ids)
    cursor.execute(_for_pools(CLAIM, len(pools)), [boot, claimed, named, now, texts(unknown), *pools])
    return _read(cursor, CLAIMED, _COLUMNS.format("due"), [named, boot, claimed]) if cursor.rowcount else []


@lru_cache
def _for_pools(statement: str, number: int) -> str:
    return statement.replace("{pools}", ", ".join(["%s"] * number))


def succeed(cursor: Any, values: Sequence[tuple[Any, ...]]) -> int:
    """How many rows were changed."""
    if not values:
        return 0
    cursor.execute(SUCCEED, [_json(values)])
    return int(cursor.rowcount)


def finish(cursor: Any, values: Sequence[tuple[Any, ...]]) -> int:
    """How many rows were changed."""
    if not values:
        return 0
    exact = [(*v[:2], None if v[2] is None else round(v[2] * 1e6), *v[3:]) for v in values]
    cursor.execute(FINISH, [_json(exact)])
    return int(cursor.rowcount)


def insert_attempts(cursor: Any, values: Sequence[tuple[Any, ...]]) -> None:
    cursor.execute(ATTEMPT, [_json(values)])


def _json(values: Sequence[Sequence[Any]]) -> str:
    """Raises ValueError for a NUL, where SQLite would end the text without a word."""
    text = msgspec.json.encode(values).decode()
    if r"\u0000" in text and any(isinstance(v, str) and "\0" in v for value in values for v in value):
        raise ValueError("a text holds a NUL")
    return text


def _read(cursor: Any, select: str, columns: str, parameters: list[Any]) -> list[Any]:
    """The rows of `select`, in one step. JSON cannot hold a BLOB, which somebody has written into a column:
    then row by row."""
    try:
        cursor.execute(f"SELECT json_group_array(json_array({columns})) FROM ({select})", parameters)
        found: list[Any] = msgspec.json.decode(cursor.fetchone()[0])
    except OperationalError as error:
        if "BLOB" not in str(error):
            raise
        cursor.execute(select, parameters)
        found = cursor.fetchall()
    return found
