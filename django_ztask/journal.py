"""Every change of a task's row. One verb = one transition = one guarded statement over a batch of rows.

Each verb takes the connection it works on: the caller's own for `record`, the committer's for the rest.
Times are epoch seconds. SQLite only, so far: ids travel as one JSON array, so that a statement's text
stays the same for any number of rows.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from django.db import transaction

from django_ztask import rows
from django_ztask.lifecycle import Kind
from django_ztask.rows import Claimed, Finish, NewTask

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper as Connection

# Rows of map() in one transaction: a few milliseconds of SQLite's lock.
CHUNK = 500


_INSERT = """INSERT INTO django_ztask_task
    (uuid, function_name, args, kwargs, retry_count, next_attempt, created, status, queue, priority,
     codec, mac, attempts, failures, crashes, interruptions, replays, meta)
    VALUES (%s, %s, %s, %s, %s, %s, %s, 'QUEUED', %s, %s, %s, %s, 0, 0, 0, 0, 0, %s)"""

_DUE = """SELECT uuid FROM django_ztask_task
    WHERE status = 'QUEUED' AND priority = %s AND next_attempt <= %s
      AND function_name NOT IN (SELECT value FROM json_each(%s))
    ORDER BY next_attempt, created LIMIT %s"""

_NEXT_PRIORITY = """SELECT max(priority) FROM django_ztask_task WHERE status = 'QUEUED' AND priority < %s"""

_NEXT_DUE = """SELECT min(next_attempt) FROM django_ztask_task
    WHERE status = 'QUEUED' AND priority = %s AND next_attempt > %s"""

_CLAIM = """UPDATE django_ztask_task
    SET status = 'RUNNING', node = %s, claimed = %s, attempts = attempts + 1
    WHERE uuid IN (SELECT value FROM json_each(%s))
      AND +status = 'QUEUED' AND +next_attempt <= %s
      AND function_name NOT IN (SELECT value FROM json_each(%s))
    RETURNING uuid, function_name, codec, args, kwargs, mac, created, next_attempt, priority,
              retry_count, attempts, replays, meta"""

_FINISH = """UPDATE django_ztask_task
    SET status = %s, retry_count = %s, next_attempt = %s, started = %s, finished = %s, failed = %s,
        failures = failures + %s, interruptions = interruptions + %s, result = %s,
        last_exception = coalesce(%s, last_exception), traceback = coalesce(%s, traceback),
        node = CASE WHEN %s = 'QUEUED' THEN NULL ELSE node END
    WHERE uuid = %s AND node = %s AND attempts = %s AND +status = 'RUNNING'"""

_ATTEMPT = """INSERT INTO django_ztask_attempt
    (task_id, attempt, kind, node, started, finished, exception, traceback)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING"""

_RECOVER = """UPDATE django_ztask_task SET status = 'QUEUED', node = NULL
    WHERE status = 'RUNNING' AND node = %s AND uuid NOT IN (SELECT value FROM json_each(%s))
    RETURNING uuid"""

_REPLAY = """UPDATE django_ztask_task
    SET status = 'QUEUED', next_attempt = %s, failed = NULL, started = NULL, finished = NULL, node = NULL,
        replays = replays + 1,
        retry_count = coalesce(json_extract(meta, '$.retry_count'), %s)
    WHERE status = 'FAILED' AND codec <> 'legacy'"""

_FAIL_UNKNOWN = """UPDATE django_ztask_task
    SET status = 'FAILED', failed = %s, finished = %s, last_exception = %s
    WHERE status = 'QUEUED' AND (next_attempt <= %s OR replays > 0)
      AND function_name IN (SELECT value FROM json_each(%s))
    RETURNING uuid, function_name"""


def record(connection: Connection, tasks: Sequence[NewTask]) -> None:
    """Writes new tasks, on the caller's connection and in its transaction when there is one; otherwise
    each CHUNK in a transaction of its own. Raises what the database raises: then the CHUNK is not there."""
    for first in range(0, len(tasks), CHUNK):
        values = [rows.inserted(connection, task) for task in tasks[first : first + CHUNK]]
        if len(values) == 1:
            with connection.cursor() as cursor:
                cursor.execute(_INSERT, values[0])
        else:
            with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
                cursor.executemany(_INSERT, values)


def due(connection: Connection, now: float, limit: int, unknown: Collection[str] = ()) -> list[str]:
    """Up to `limit` ids of due rows in the order they are to start, without those of `unknown` functions.

    Reads one priority at a time: each is one walk along the index, however many rows are for later.
    """
    found: list[str] = []
    left_out = json.dumps(sorted(unknown))
    with connection.cursor() as cursor:
        for priority in _priorities(cursor):
            cursor.execute(_DUE, [priority, now, left_out, limit - len(found)])
            found += [row[0] for row in cursor.fetchall()]
            if len(found) >= limit:
                break
    return found


def next_due(connection: Connection, now: float) -> float | None:
    """The earliest due time after `now`, or None."""
    times = []
    with connection.cursor() as cursor:
        for priority in _priorities(cursor):
            cursor.execute(_NEXT_DUE, [priority, now])
            times.append(cursor.fetchone()[0])
    return min((time for time in times if time is not None), default=None)


def _priorities(cursor: Any) -> Iterable[int]:
    below = 32768
    while True:
        cursor.execute(_NEXT_PRIORITY, [below])
        below = cursor.fetchone()[0]
        if below is None:
            return
        yield below


def claim(
    connection: Connection, boot: str, ids: Sequence[str], now: float, unknown: Collection[str] = ()
) -> list[Claimed]:
    """QUEUED -> RUNNING for those of `ids` that are due, in the order they are to start.

    Whoever comes second changes no row and gets nothing.
    """
    if not ids:
        return []
    values = [boot, rows.stamp(connection, now), json.dumps(ids), now, json.dumps(sorted(unknown))]
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, values)
        found = [rows.claimed(row) for row in cursor.fetchall()]
    return sorted(found, key=lambda task: task.order)


def finish(connection: Connection, boot: str, finishes: Sequence[Finish]) -> list[Finish]:
    """RUNNING -> what each verdict says, with a row in Attempt for each unsuccessful one.

    Returns those that changed nothing because the node no longer holds the row (they were fenced). One
    that finds itself written already, after an error that hid its commit, is done and not fenced.
    """
    if not finishes:
        return []
    values = [rows.finished(connection, boot, finish) for finish in finishes]
    with connection.cursor() as cursor:
        cursor.executemany(_FINISH, values)
        if cursor.rowcount == len(finishes):
            fenced = []
        else:
            fenced = [finish for finish in finishes if not _is_written(cursor, boot, finish)]
        lost = {id(finish) for finish in fenced}
        attempts = [
            rows.attempted(connection, boot, finish)
            for finish in finishes
            if finish.outcome.kind in (Kind.FAILURE, Kind.INTERRUPTED, Kind.REFUSED)
            and id(finish) not in lost
        ]
        if attempts:
            cursor.executemany(_ATTEMPT, attempts)
    return fenced


def _is_written(cursor: Any, boot: str, finish: Finish) -> bool:
    cursor.execute(
        "SELECT status, attempts, node, retry_count, next_attempt FROM django_ztask_task WHERE uuid = %s",
        [finish.task.id],
    )
    row = cursor.fetchone()
    verdict = finish.verdict
    node = boot if verdict.status.is_final else None
    written = (verdict.status.value, finish.attempt, node, verdict.retries_left, verdict.due)
    return row is not None and tuple(row) == written


def recover(connection: Connection, boot: str, held: Collection[str] = ()) -> list[str]:
    """RUNNING -> QUEUED, at no cost, for what `boot` claimed and nobody holds: all of a dead node's rows,
    or, with `held`, the living node's own rows that got lost on the way."""
    with connection.cursor() as cursor:
        cursor.execute(_RECOVER, [boot, json.dumps(sorted(held))])
        return [row[0] for row in cursor.fetchall()]


def holders(connection: Connection) -> set[str]:
    """The boot ids that have RUNNING rows."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT node FROM django_ztask_task WHERE status = 'RUNNING'")
        return {row[0] for row in cursor.fetchall()}


def replay_failed(connection: Connection, now: float, retry_count: int) -> int:
    """FAILED -> QUEUED for every failed row, with its full retries. All get one due time, so that they
    start in `created` order."""
    with connection.cursor() as cursor:
        cursor.execute(_REPLAY, [now, retry_count])
        return int(cursor.rowcount)


def fail_unknown(
    connection: Connection, now: float, before: float, unknown: Collection[str]
) -> list[tuple[str, str]]:
    """QUEUED -> FAILED for rows of `unknown` task functions that were due `before` that time."""
    reason = "no node knows this task function: it was renamed or removed, or its module is not deployed"
    ended = rows.stamp(connection, now)
    with connection.cursor() as cursor:
        cursor.execute(_FAIL_UNKNOWN, [ended, ended, reason, before, json.dumps(sorted(unknown))])
        return [(row[0], row[1]) for row in cursor.fetchall()]
