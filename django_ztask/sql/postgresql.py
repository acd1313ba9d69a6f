"""PostgreSQL's statements: arrays instead of row loops, and claims that skip what others have locked.

`status || ''` keeps the planner from the partial indexes where the primary key is better: with statistics from
an empty queue, a claim of 200 among 40,000 took 92 ms.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

# Epoch seconds by the database's clock: the one that all nodes share.
NOW = "extract(epoch FROM clock_timestamp())"

INSERT = """INSERT INTO django_ztask_task
    (uuid, function_name, args, kwargs, retry_count, next_attempt, created, status, queue, priority,
     codec, mac, attempts, failures, crashes, interruptions, replays, meta, pool)
    VALUES (%s, %s, %s, %s, %s, %s, %s, 'QUEUED', %s, %s, %s, %s, 0, 0, 0, 0, 0, %s::jsonb, %s)"""

INSERT_MANY = """INSERT INTO django_ztask_task
    (uuid, function_name, args, kwargs, retry_count, next_attempt, created, queue, priority, codec, mac,
     meta, pool, status, attempts, failures, crashes, interruptions, replays)
    SELECT new.*, 'QUEUED', 0, 0, 0, 0, 0 FROM unnest(
        %s::text[], %s::text[], %s::text[], %s::text[], %s::int[], %s::float8[], %s::timestamptz[],
        %s::text[], %s::int[], %s::text[], %s::text[], %s::jsonb[], %s::text[]) AS new"""

AGAIN = " ON CONFLICT (uuid) DO NOTHING"

_DUE = """SELECT {} FROM django_ztask_task
    WHERE status = 'QUEUED' AND pool = %s AND priority = %s AND next_attempt <= %s AND function_name <> ALL(%s::text[])
    ORDER BY next_attempt, created LIMIT %s FOR UPDATE SKIP LOCKED"""

DUE = _DUE.format("uuid")

# Of several pools: the first rows of each, put in order.
_MERGED = "SELECT uuid FROM ({}) AS merged ORDER BY next_attempt, created LIMIT %s"
_ONE_POOL = f"SELECT * FROM ({_DUE.format('uuid, next_attempt, created')}) AS pool"

NEXT_DUE = """SELECT min(next_attempt) FROM django_ztask_task
    WHERE status = 'QUEUED' AND pool = %s AND priority = %s AND next_attempt > %s AND next_attempt < 'infinity'"""

# MATERIALIZED: PostgreSQL may run a plain subquery again, and then lock (and claim) other rows.
CLAIM = """WITH given (node, claimed, ids, now, unknown, pools) AS (
        VALUES (%s::text, %s::timestamptz, %s::text[], %s::float8, %s::text[], %s::text[])),
    picked AS MATERIALIZED (
        SELECT uuid FROM django_ztask_task
        WHERE uuid = ANY((SELECT ids FROM given)::text[]) AND status || '' = 'QUEUED'
          AND next_attempt <= (SELECT now FROM given)
          AND function_name <> ALL((SELECT unknown FROM given)::text[])
          AND pool = ANY((SELECT pools FROM given)::text[])
        FOR UPDATE SKIP LOCKED)
    UPDATE django_ztask_task AS task
    SET status = 'RUNNING', node = given.node, claimed = given.claimed, attempts = task.attempts + 1
    FROM picked, given WHERE task.uuid = picked.uuid
    RETURNING task.uuid, function_name, codec, args, kwargs, mac, created, next_attempt, priority,
              retry_count, attempts, replays, crashes, meta, pool"""

# The most frequent end in few columns.
SUCCEED = """UPDATE django_ztask_task AS task
    SET status = 'SUCCEEDED', started = new.started, finished = new.finished, result = new.result
    FROM unnest(%s::text[], %s::text[], %s::int[], %s::timestamptz[], %s::timestamptz[], %s::text[])
        AS new (uuid, boot, attempt, started, finished, result)
    WHERE task.uuid = new.uuid AND task.node = new.boot AND task.attempts = new.attempt
      AND task.status || '' = 'RUNNING'"""

FINISH = """UPDATE django_ztask_task AS task
    SET status = CASE WHEN task.cancel_requested IS NULL THEN new.status ELSE 'CANCELLED' END,
        retry_count = new.retry_count, next_attempt = coalesce(new.due, task.next_attempt), started = new.started,
        finished = CASE WHEN new.status = 'QUEUED' AND task.cancel_requested IS NULL THEN NULL ELSE new.finished END,
        failed = CASE WHEN task.cancel_requested IS NULL THEN new.failed END,
        failures = task.failures + new.failures,
        interruptions = task.interruptions + new.interruptions, crashes = task.crashes + new.crashes,
        result = new.result, pool = coalesce(new.pool, task.pool),
        last_exception = coalesce(new.exception, task.last_exception),
        traceback = coalesce(new.traceback, task.traceback),
        node = CASE WHEN task.cancel_requested IS NULL THEN new.node ELSE new.boot END
    FROM unnest(
        %s::text[], %s::int[], %s::float8[], %s::timestamptz[], %s::timestamptz[], %s::timestamptz[],
        %s::int[], %s::int[], %s::int[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[],
        %s::text[], %s::int[]) AS new (status, retry_count, due, started, finished, failed, failures, interruptions,
        crashes, result, exception, traceback, node, pool, uuid, boot, attempt)
    WHERE task.uuid = new.uuid AND task.node = new.boot AND task.attempts = new.attempt
      AND task.status || '' = 'RUNNING'"""

ATTEMPT = """INSERT INTO django_ztask_attempt
    (task_id, attempt, kind, node, started, finished, exception, traceback)
    SELECT * FROM unnest(%s::text[], %s::int[], %s::text[], %s::text[], %s::timestamptz[],
        %s::timestamptz[], %s::text[], %s::text[]) ON CONFLICT DO NOTHING"""

ONCE = "coalesce(meta ->> 'at_most_once', '') = 'true'"

# at_most_once tasks that have been started: marked, or by an earlier attempt.
STARTED_ONCE = f"(failures > 0 OR interruptions > 0 OR started IS NOT NULL) AND {ONCE}"

NOT_AMONG = "uuid <> ALL(%s::text[])"

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
        retry_count = coalesce(CASE jsonb_typeof(meta -> 'retry_count') WHEN 'number'
            THEN least(greatest((meta ->> 'retry_count')::numeric, 0), 2147483647)::int END, %s)
    WHERE codec <> 'legacy' AND NOT ({STARTED_ONCE})"""

COUNT_STARTED_ONCE = f"SELECT count(*) FROM django_ztask_task WHERE status = 'FAILED' AND {STARTED_ONCE}"

# What somebody wrote by hand and is no time, each found by one seek in the index. (NaN comes after infinity.)
NO_TIME = ("next_attempt IS NULL", "next_attempt >= 'infinity'")
NO_PRIORITY = None

PRUNE = """WITH old AS MATERIALIZED (
        SELECT uuid FROM django_ztask_task WHERE status = '{}' AND finished < %s
        ORDER BY finished LIMIT %s FOR UPDATE SKIP LOCKED)
    DELETE FROM django_ztask_task AS task USING old WHERE task.uuid = old.uuid
    RETURNING task.uuid"""

PRUNE_ATTEMPTS = "DELETE FROM django_ztask_attempt WHERE task_id = ANY(%s::text[])"

FAIL_UNKNOWN = """UPDATE django_ztask_task
    SET status = 'FAILED', failed = %s, finished = %s, last_exception = %s
    WHERE status = 'QUEUED' AND NOT EXISTS (SELECT 1 FROM django_ztask_pause WHERE queue IN (django_ztask_task.queue, '')) AND (next_attempt <= %s OR replays > 0) AND function_name = ANY(%s::text[])
    RETURNING uuid, function_name"""


def texts(values: Collection[str]) -> list[str]:
    """Several texts as one parameter."""
    return list(values)


def insert(cursor: Any, values: Sequence[tuple[Any, ...]], again: bool = False) -> None:
    """With one statement; rows that are there already are left as they are if `again`."""
    text, given = (INSERT, values[0]) if len(values) == 1 else (INSERT_MANY, _columns(values))
    cursor.execute(text + AGAIN if again else text, given)


def due(
    cursor: Any, pools: Sequence[str], priority: int, now: float, unknown: Collection[str], limit: int
) -> list[str]:
    """Ids of due rows of these pools and that priority, in the order they are to start."""
    if len(pools) == 1:
        cursor.execute(DUE, [*pools, priority, now, texts(unknown), limit])
    else:
        given = [value for pool in pools for value in (pool, priority, now, texts(unknown), limit)]
        cursor.execute(_MERGED.format(" UNION ALL ".join([_ONE_POOL] * len(pools))), [*given, limit])
    return [row[0] for row in cursor.fetchall()]


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
    cursor.execute(CLAIM, [boot, claimed, texts(ids), now, texts(unknown), texts(pools)])
    return list(cursor.fetchall())


def succeed(cursor: Any, values: Sequence[tuple[Any, ...]]) -> int:
    """How many rows were changed."""
    if not values:
        return 0
    cursor.execute(SUCCEED, _columns(values))
    return int(cursor.rowcount)


def finish(cursor: Any, values: Sequence[tuple[Any, ...]]) -> int:
    """How many rows were changed."""
    if not values:
        return 0
    cursor.execute(FINISH, _columns(values))
    return int(cursor.rowcount)


def insert_attempts(cursor: Any, values: Sequence[tuple[Any, ...]]) -> None:
    cursor.execute(ATTEMPT, _columns(values))


def _columns(values: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*values, strict=True)]
