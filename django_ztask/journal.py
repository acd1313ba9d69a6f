"""Every change of a task's row. One verb = one transition = one guarded statement over a batch of rows.

Each verb takes the connection it works on: the caller's own for `record`, the committer's for the rest.
Times are epoch seconds. The statements themselves stand in sql/, one module for each database.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from django_ztask import crashpoints, patience, progress, rows, sql
from django_ztask.lifecycle import CHOICES, POOLS, UNSUCCESSFUL, Event, Kind, Status
from django_ztask.progress import Progress
from django_ztask.rows import Claimed, Finish, NewTask
from django_ztask.sql import direct

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper as Connection

INTERRUPTED = "nobody knows how far it got: its node died, or its end was undone. It is at_most_once"

# Rows of map() in one transaction: a few milliseconds of SQLite's lock.
CHUNK = 500


def record(
    connection: Connection,
    tasks: Sequence[NewTask],
    written: Callable[[Sequence[NewTask]], None] = lambda chunk: None,
) -> None:
    """Writes new tasks, on the caller's connection and in its transaction when there is one; otherwise
    each CHUNK in a transaction of its own. `written` is told of each CHUNK. Raises what the database raises:
    then the CHUNK is not there."""
    for first in range(0, len(tasks), CHUNK):
        chunk = tasks[first : first + CHUNK]
        insert(connection, [rows.inserted(connection, task) for task in chunk])
        written(chunk)


def insert(connection: Connection, values: Sequence[tuple[Any, ...]], again: bool = False) -> None:
    """Writes up to CHUNK rows, made by `rows.inserted`, with one statement: without a transaction, it is one.
    `again`: some may be there already, from an attempt that ended in an error."""
    with direct.cursor(connection) as cursor:
        patience.patiently(connection, partial(sql.of(connection).insert, cursor, values, again))


def due(
    connection: Connection,
    now: float,
    limit: int,
    unknown: Collection[str] = (),
    pools: Sequence[str] = POOLS,
) -> list[str]:
    """Up to `limit` ids of due rows of these pools, in the order they are to start, without those of `unknown`
    functions.

    Reads one priority at a time: each is one walk along the index, however many rows are for later.
    """
    found: list[str] = []
    statements = sql.of(connection)
    with direct.cursor(connection) as cursor:
        for priority, having in priorities(cursor, pools):
            found += statements.due(cursor, having, priority, now, unknown, limit - len(found))
            if len(found) >= limit:
                break
    return found


def next_due(connection: Connection, now: float) -> float | None:
    """The earliest due time after `now`, or None. (A suspect is due: it had been claimed.)"""
    times = []
    statements = sql.of(connection)
    with direct.cursor(connection) as cursor:
        for priority, having in priorities(cursor, CHOICES):
            for pool in having:
                cursor.execute(statements.NEXT_DUE, [pool, priority, now])
                times.append(cursor.fetchone()[0])
    return min((time for time in times if time is not None), default=None)


def priorities(cursor: Any, pools: Sequence[str] = POOLS) -> Iterable[tuple[int, tuple[str, ...]]]:
    """Those that queued rows of these pools have, the highest first, each with the pools that have such rows."""
    below = 2**63 - 1  # (SQLite keeps what does not fit a small integer, too)
    while True:
        cursor.execute(sql.next_priorities(len(pools)), [value for pool in pools for value in (pool, below)])
        found = cursor.fetchone()
        having = [priority for priority in found if priority is not None]
        if not having:
            return
        below = max(having)
        yield below, tuple(pool for pool, priority in zip(pools, found, strict=True) if priority == below)


def claim(
    connection: Connection,
    boot: str,
    ids: Sequence[str],
    now: float,
    unknown: Collection[str] = (),
    pools: Collection[str] = POOLS,
) -> list[Claimed]:
    """QUEUED -> RUNNING for those of `ids` that are due and for one of these pools, in the order they are to
    start.

    Whoever comes second changes no row and gets nothing.
    """
    if not ids:
        return []
    claimed = rows.stamp(connection, now)
    with direct.cursor(connection) as cursor:
        values = sql.of(connection).claim(cursor, boot, claimed, ids, now, unknown, pools)
    found = [rows.claimed(row) for row in values]
    return sorted(found, key=lambda task: task.order)


def finish(connection: Connection, boot: str, finishes: Sequence[Finish]) -> list[Finish]:
    """RUNNING -> what each verdict says, with a row in Attempt for each unsuccessful one. Where somebody has asked
    for the task's end meanwhile, every verdict but success becomes CANCELLED.

    Returns those that changed nothing because the node no longer holds the row (they were fenced). One
    that finds itself written already, after an error that hid its commit, is done and not fenced.
    """
    if not finishes:
        return []
    statements = sql.of(connection)
    stamp = rows.stamper(connection)
    succeeded, others, said = [], [], []
    for finish in finishes:
        if finish.progress is not None:
            said.append((finish.task.id, finish.attempt, finish.progress))
        if finish.verdict.event is Event.SUCCEED:
            succeeded.append(rows.succeeded(stamp, boot, finish))
        else:
            others.append(rows.finished(stamp, boot, finish))
    note_progress(connection, boot, said)  # (while they are RUNNING)
    with direct.cursor(connection) as cursor:
        if statements.succeed(cursor, succeeded) + statements.finish(cursor, others) == len(finishes):
            fenced = []
        else:
            fenced = [finish for finish in finishes if not _is_written(cursor, boot, finish)]
        lost = {id(finish) for finish in fenced}
        attempts = [
            rows.attempted(stamp, boot, finish)
            for finish in finishes
            if finish.outcome.kind in UNSUCCESSFUL and id(finish) not in lost
        ]
        if attempts:
            statements.insert_attempts(cursor, attempts)
    return fenced


def note_progress(connection: Connection, boot: str, said: Sequence[tuple[str, int, Progress]]) -> None:
    """What running attempts say of how far they are: (id, attempt, progress). Of those that `boot` does not hold any
    more nothing is written; nor, on PostgreSQL, where somebody has the row locked: the next is as good."""
    if said:
        values = [
            (task_id, boot, attempt, progress.to_text(last, attempt)) for task_id, attempt, last in said
        ]
        with direct.cursor(connection) as cursor:
            sql.progress.write(connection.vendor, cursor, values)


def _is_written(cursor: Any, boot: str, finish: Finish) -> bool:
    cursor.execute(
        "SELECT status, attempts, node, retry_count, next_attempt, cancel_requested FROM django_ztask_task WHERE uuid = %s",
        [finish.task.id],
    )
    row = cursor.fetchone()
    if row is None:
        return False
    *written, asked = row
    verdict = finish.verdict
    status = verdict.status if asked is None or verdict.event is Event.SUCCEED else Status.CANCELLED
    node = boot if status.is_final else None
    due = verdict.due if verdict.event is Event.RETRY else row[4]  # (no other end changes it)
    return written == [status.value, finish.attempt, node, verdict.retries_left, due]


def mark(connection: Connection, boot: str, task_id: str, attempt: int, now: float) -> bool:
    """Notes that an at_most_once task starts: from here on it is never started again. False when `boot`
    does not hold this attempt any more, or somebody has asked for its end."""
    with connection.cursor() as cursor:
        cursor.execute(sql.MARK, [rows.stamp(connection, now), task_id, boot, attempt])
        return bool(cursor.rowcount)


def fail_interrupted(
    connection: Connection, boot: str, now: float, held: Collection[str] = ()
) -> list[tuple[str, str]]:
    """RUNNING -> FAILED for the at_most_once tasks that `boot` had started and nobody holds: nobody knows how
    far they got. Returns (id, task function) of each."""
    ended = rows.stamp(connection, now)
    statements = sql.of(connection)
    with connection.cursor() as cursor:
        cursor.execute(statements.FAIL_INTERRUPTED, [ended, ended, INTERRUPTED, boot, statements.texts(held)])
        failed = cursor.fetchall()
        attempts = [
            (task_id, attempt, Kind.INTERRUPTED.value, boot, started, ended, INTERRUPTED, "")
            for task_id, _, attempt, started in failed
        ]
        if attempts:
            statements.insert_attempts(cursor, attempts)
    return [(task_id, function) for task_id, function, _, _ in failed]


def recover(connection: Connection, boot: str, held: Collection[str] | None = None) -> list[str]:
    """RUNNING -> QUEUED, at no cost, for what `boot` claimed and nobody holds: all of a dead node's rows, which are
    suspects from now on, or, with `held`, the living node's own rows that got lost on the way. Never for at_most_once
    tasks that were started: they are for `fail_interrupted`; nor for what somebody has cancelled: `cancelling.settle`."""
    statements = sql.of(connection)
    recovered = statements.RECOVER.format(pool=sql.SUSPECT if held is None else "pool")
    with connection.cursor() as cursor:
        cursor.execute(recovered, [boot, statements.texts(held or ())])
        return [row[0] for row in cursor.fetchall()]


def holders(connection: Connection) -> set[str]:
    """The boot ids that have RUNNING rows."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT node FROM django_ztask_task WHERE status = 'RUNNING'")
        return {row[0] for row in cursor.fetchall()}


def replay_failed(connection: Connection, now: float, retry_count: int) -> tuple[int, int]:
    """FAILED -> QUEUED for every failed row, with its full retries. All get one due time, so that they
    start in `created` order. at_most_once tasks that had started are left out. Returns how many were
    queued, and how many left out."""
    statements = sql.of(connection)
    with connection.cursor() as cursor:
        cursor.execute(f"{statements.REPLAY} AND status = 'FAILED'", [now, retry_count])
        replayed = int(cursor.rowcount)
        cursor.execute(statements.COUNT_STARTED_ONCE)
        left_out = int(cursor.fetchone()[0])
    crashpoints.reach("replay-uncommitted")
    return replayed, left_out
