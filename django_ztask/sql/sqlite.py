"""SQLite's statements. Ids travel as one JSON array, so that a statement's text stays the same for any
number of rows. A unary plus keeps the planner from the partial index where the primary key is better.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

# Epoch seconds by the database's clock (SQLite has none of its own: it is this machine's).
NOW = "((julianday('now') - 2440587.5) * 86400.0)"

INSERT = """INSERT INTO django_ztask_task
    (uuid, function_name, args, kwargs, retry_count, next_attempt, created, status, queue, priority,
     codec, mac, attempts, failures, crashes, interruptions, replays, meta)
    VALUES (%s, %s, %s, %s, %s, %s, %s, 'QUEUED', %s, %s, %s, %s, 0, 0, 0, 0, 0, %s)"""

DUE = """SELECT uuid FROM django_ztask_task
    WHERE status = 'QUEUED' AND priority = %s AND next_attempt <= %s
      AND function_name NOT IN (SELECT value FROM json_each(%s))
    ORDER BY next_attempt, created LIMIT %s"""

NEXT_PRIORITY = "SELECT max(priority) FROM django_ztask_task WHERE status = 'QUEUED' AND priority < %s"

NEXT_DUE = """SELECT min(next_attempt) FROM django_ztask_task
    WHERE status = 'QUEUED' AND priority = %s AND next_attempt > %s AND next_attempt < 9e999"""

CLAIM = """UPDATE django_ztask_task
    SET status = 'RUNNING', node = %s, claimed = %s, attempts = attempts + 1
    WHERE uuid IN (SELECT value FROM json_each(%s))
      AND +status = 'QUEUED' AND +next_attempt <= %s
      AND function_name NOT IN (SELECT value FROM json_each(%s))
    RETURNING uuid, function_name, codec, args, kwargs, mac, created, next_attempt, priority,
              retry_count, attempts, replays, meta"""

FINISH = """UPDATE django_ztask_task
    SET status = %s, retry_count = %s, next_attempt = %s, started = %s, finished = %s, failed = %s,
        failures = failures + %s, interruptions = interruptions + %s, result = %s,
        last_exception = coalesce(%s, last_exception), traceback = coalesce(%s, traceback),
        node = %s
    WHERE uuid = %s AND node = %s AND attempts = %s AND +status = 'RUNNING'"""

ATTEMPT = """INSERT INTO django_ztask_attempt
    (task_id, attempt, kind, node, started, finished, exception, traceback)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING"""

ONCE = "(CASE WHEN json_valid(meta) THEN json_extract(meta, '$.at_most_once') END) IS 1"

# at_most_once tasks that have been started: marked, or by an earlier attempt.
STARTED_ONCE = f"(failures > 0 OR interruptions > 0 OR started IS NOT NULL) AND {ONCE}"

FAIL_INTERRUPTED = f"""UPDATE django_ztask_task
    SET status = 'FAILED', failed = %s, finished = %s, last_exception = %s, interruptions = interruptions + 1
    WHERE status = 'RUNNING' AND node = %s AND started IS NOT NULL AND {ONCE}
      AND uuid NOT IN (SELECT value FROM json_each(%s))
    RETURNING uuid, function_name, attempts, started"""

# (One that was marked since FAIL_INTERRUPTED looked stays where it is: the next round FAILs it.)
RECOVER = f"""UPDATE django_ztask_task SET status = 'QUEUED', node = NULL
    WHERE status = 'RUNNING' AND node = %s AND uuid NOT IN (SELECT value FROM json_each(%s))
      AND NOT (started IS NOT NULL AND {ONCE})
    RETURNING uuid"""

REPLAY = f"""UPDATE django_ztask_task
    SET status = 'QUEUED', next_attempt = %s, failed = NULL, started = NULL, finished = NULL, node = NULL,
        replays = replays + 1,
        retry_count = coalesce(CASE WHEN json_valid(meta) THEN json_extract(meta, '$.retry_count') END, %s)
    WHERE status = 'FAILED' AND codec <> 'legacy' AND NOT ({STARTED_ONCE})"""

COUNT_STARTED_ONCE = f"SELECT count(*) FROM django_ztask_task WHERE status = 'FAILED' AND {STARTED_ONCE}"

# What somebody wrote by hand into a column of numbers, each found by one seek in the index: infinity, and
# texts and BLOBs, which come after all numbers.
NO_TIME = ("next_attempt IS NULL", "next_attempt >= 9e999")
NO_PRIORITY = "priority >= ''"

PRUNE = """DELETE FROM django_ztask_task WHERE uuid IN (
        SELECT uuid FROM django_ztask_task WHERE status = 'SUCCEEDED' AND finished < %s
        ORDER BY finished LIMIT %s)
    RETURNING uuid"""

PRUNE_ATTEMPTS = "DELETE FROM django_ztask_attempt WHERE task_id IN (SELECT value FROM json_each(%s))"

FAIL_UNKNOWN = """UPDATE django_ztask_task
    SET status = 'FAILED', failed = %s, finished = %s, last_exception = %s
    WHERE status = 'QUEUED' AND (next_attempt <= %s OR replays > 0)
      AND function_name IN (SELECT value FROM json_each(%s))
    RETURNING uuid, function_name"""


def texts(values: Collection[str]) -> str:
    """Several texts as one parameter."""
    return json.dumps(list(values))


def insert(cursor: Any, values: Sequence[tuple[Any, ...]]) -> None:
    cursor.executemany(INSERT, values)


def finish(cursor: Any, values: Sequence[tuple[Any, ...]]) -> int:
    """How many rows were changed."""
    cursor.executemany(FINISH, values)
    return int(cursor.rowcount)


def insert_attempts(cursor: Any, values: Sequence[tuple[Any, ...]]) -> None:
    cursor.executemany(ATTEMPT, values)
