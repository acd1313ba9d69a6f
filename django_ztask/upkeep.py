"""What housekeeping does to rows: pruning, and FAILED for those that can never run or end.

Verbs like those of journal.py: one transition, one guarded statement. Times are epoch seconds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

from django_ztask import crashpoints, pauses, rows, sql
from django_ztask.journal import priorities
from django_ztask.lifecycle import POOLS, Kind
from django_ztask.rows import Finish
from django_ztask.sql.pauses import NOT_ASIDE

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper as Connection

ODD = "somebody has edited its row: its {} is none"
FAIL_ROW = """UPDATE django_ztask_task
    SET status = 'FAILED', failed = %s, finished = %s, last_exception = %s WHERE rowid = %s"""

# The states whose rows are pruned; each has its index. FAILED ones wait for their replay.
PRUNED = ("SUCCEEDED", "CANCELLED")

UNKNOWN = "no node knows this task function: it was renamed or removed, or its module is not deployed"


def prune(connection: Connection, before: float, limit: int) -> int:
    """Deletes up to `limit` rows that succeeded, or were cancelled, before that time, the oldest first of each state,
    with their unsuccessful attempts. Returns how many."""
    statements = sql.of(connection)
    pruned: list[str] = []
    with connection.cursor() as cursor:
        for status in PRUNED:
            if len(pruned) < limit:
                statement = statements.PRUNE.format(status)
                cursor.execute(statement, [rows.stamp(connection, before), limit - len(pruned)])
                pruned += [row[0] for row in cursor.fetchall()]
        if pruned:
            cursor.execute(statements.PRUNE_ATTEMPTS, [statements.texts(pruned)])
    crashpoints.reach("prune-uncommitted")
    return len(pruned)


def prunable(connection: Connection, before: float) -> int:
    """How many rows `prune` would delete in all."""
    with connection.cursor() as cursor:
        count = 0
        for status in PRUNED:
            cursor.execute(sql.PRUNABLE.format(status), [rows.stamp(connection, before)])
            count += int(cursor.fetchone()[0])
    return count


def refuse(connection: Connection, task_id: str, now: float, reason: str) -> None:
    """QUEUED -> FAILED for a row that cannot even be read."""
    ended = rows.stamp(connection, now)
    with connection.cursor() as cursor:
        cursor.execute(sql.REFUSE, [ended, ended, reason, task_id])


def give_up(connection: Connection, boot: str, finish: Finish, reason: str) -> None:
    """RUNNING -> SUCCEEDED, CANCELLED or FAILED for an end that the database refuses in any words: the least that
    keeps the task from being repeated for ever."""
    ended = rows.stamp(connection, finish.finished)
    kept = {Kind.SUCCESS: "SUCCEEDED", Kind.CANCELLED: "CANCELLED"}
    status = kept.get(finish.outcome.kind, "FAILED")
    ways = [(status, None, "TRUE")]
    if status == "FAILED":  # (what somebody has cancelled is not to be replayed)
        ways = [("CANCELLED", None, "cancel_requested IS NOT NULL"), ("FAILED", ended, "TRUE")]
    with connection.cursor() as cursor:
        for state, failed, condition in ways:
            values = [state, failed, ended, reason, finish.task.id, boot, finish.attempt]
            cursor.execute(sql.GIVE_UP.format(condition), values)


def fail_odd(connection: Connection, now: float) -> list[tuple[str, str]]:
    """QUEUED -> FAILED for rows that would never be due: somebody wrote no time into their due time, no
    number into their priority, or no pool into their pool. Returns (id, task function) of each."""
    ended = rows.stamp(connection, now)
    failed: list[Any] = []
    with connection.cursor() as cursor:
        having, known = list(priorities(cursor)), [*POOLS[:2], *pauses.pools_aside(connection), *POOLS[2:]]
        for what, condition, values in _odd(having, known, NOT_ASIDE[connection.vendor], sql.of(connection)):
            cursor.execute(sql.FAIL_ODD.format(condition), [ended, ended, ODD.format(what), *values])
            failed += cursor.fetchall()
    return [(task_id, function) for task_id, function in failed]


def _odd(
    having: list[tuple[int, tuple[str, ...]]], known: list[str], not_aside: str, statements: Any
) -> Iterator[tuple[str, str, list[Any]]]:
    """What is odd, as a condition and its values: each is a seek in the index of queued rows. `known`: all pools that are
    none of that, in the order of their texts."""
    for below, above in zip(known, [*known[1:], None], strict=True):
        if above is None:
            yield "pool", "pool > %s", [below]
        else:
            yield "pool", f"pool > %s AND pool < %s{not_aside}", [below, above]
    for pool in POOLS:
        if statements.NO_PRIORITY:
            yield "priority", f"pool = %s AND {statements.NO_PRIORITY}", [pool]
    for priority, pools in having:
        for pool in pools:
            for condition in statements.NO_TIME:
                yield "due time", f"pool = %s AND priority = %s AND {condition}", [pool, priority]


def fail_unknown(
    connection: Connection, now: float, before: float, unknown: Collection[str], reason: str = UNKNOWN
) -> list[tuple[str, str]]:
    """QUEUED -> FAILED for rows of `unknown` task functions that were due `before` that time."""
    ended = rows.stamp(connection, now)
    statements = sql.of(connection)
    with connection.cursor() as cursor:
        cursor.execute(statements.FAIL_UNKNOWN, [ended, ended, reason, before, statements.texts(unknown)])
        return [(row[0], row[1]) for row in cursor.fetchall()]


def fail_undecodable(connection: Connection, now: float) -> int:
    """QUEUED -> FAILED for rows of SQLite whose very id is no UTF-8: no look that meets one can be read.
    Walks over all queued rows. Returns how many there were."""
    if connection.vendor != "sqlite":
        return 0
    raw: Any = connection.connection
    factory, raw.text_factory = raw.text_factory, bytes
    try:
        queued = raw.execute("SELECT rowid, uuid FROM django_ztask_task WHERE status = 'QUEUED'")
        odd = [number for number, uuid in queued if not _is_utf8(uuid)]
    finally:
        raw.text_factory = factory
    ended = rows.stamp(connection, now)
    with connection.cursor() as cursor:
        values = [(ended, ended, "its row cannot be read: its id is no UTF-8", number) for number in odd]
        cursor.executemany(FAIL_ROW, values)
    return len(odd)


def _is_utf8(text: object) -> bool:
    try:
        return not isinstance(text, bytes) or bool(text.decode() or True)
    except UnicodeDecodeError:
        return False
