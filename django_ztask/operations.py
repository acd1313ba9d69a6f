"""What an operator does to many rows at once: count, replay, delete those that a Filter means.

Verbs like those of journal.py: guarded statements, a few rows at a time. Times are epoch seconds; the caller's
connection decides about transactions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from django_ztask import crashpoints, sql
from django_ztask.filters import MOMENTS, Condition, Filter
from django_ztask.looking import epoch, reading, walking
from django_ztask.sql import operations as texts

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper as Connection

# States whose rows may be deleted: nothing of them will run.
PURGEABLE = ("FAILED", "SUCCEEDED", "CANCELLED")


class Group(NamedTuple):
    """Tasks of one function that failed for one reason (the type of an exception, as a rule)."""

    function: str
    exception: str
    number: int
    oldest: float | None
    newest: float | None


class LeftOut(NamedTuple):
    """What matches and is not replayed: at_most_once tasks that had started, and what django-ztask 0.1 has left and
    nobody can read."""

    started_once: int
    unreadable: int


class Position(NamedTuple):
    """The last row that was passed, in the order of a replay. Its `created` is the database's own text of it."""

    created: str | None = None
    uuid: str = ""


START = Position()


def replayable(connection: Connection, wanted: Filter) -> Condition:
    """The FAILED rows that a replay starts again."""
    where, values = wanted.condition(connection, "failed")
    started_once = sql.of(connection).STARTED_ONCE
    return f"{where} AND {texts.REPLAYABLE.format(started_once=started_once)}", values


def left_out(connection: Connection, wanted: Filter) -> LeftOut:
    where, values = wanted.condition(connection, "failed")
    started_once = texts.STARTED_ONCE.format(started_once=sql.of(connection).STARTED_ONCE)
    return LeftOut(
        count(connection, (f"{where} AND {started_once}", values)),
        count(connection, (f"{where} AND {texts.UNREADABLE}", values)),
    )


def purgeable(connection: Connection, wanted: Filter, status: str) -> Condition:
    """Raises ValueError for a state whose rows are still needed."""
    if status not in PURGEABLE:
        raise ValueError(f"{status} tasks are not deleted")
    return wanted.condition(connection, MOMENTS[status])


def cancellable(connection: Connection, wanted: Filter, status: str) -> Condition:
    """Rows in that state, without those that were asked to end before."""
    where, values = wanted.condition(connection)
    return (f"{where} AND cancel_requested IS NULL" if status == "RUNNING" else where), values


def groups(
    connection: Connection,
    condition: Condition,
    status: str = "FAILED",
    limit: int | None = None,
    by_id: bool = False,
) -> list[Group]:
    """What there is of it: the most frequent first. With a limit, of those alone that `walk` meets first; or, `by_id`,
    `walk_by_id`."""
    where, values = condition
    limited, more = "", []
    if limit is not None:
        limited = texts.OLDEST.format(order="uuid" if by_id else "created, uuid")
        more = [limit]
    select = texts.GROUPS.format(
        head=texts.HEAD[connection.vendor],
        moment=MOMENTS[status],
        status=status,
        where=where,
        limited=limited,
    )
    with reading(connection) as cursor:
        cursor.execute(select, [*values, *more])
        return [
            Group(str(function), str(head or ""), number, epoch(connection, oldest), epoch(connection, last))
            for function, head, number, oldest, last in cursor.fetchall()
        ]


def count(connection: Connection, condition: Condition, status: str = "FAILED") -> int:
    where, values = condition
    with reading(connection) as cursor:
        cursor.execute(texts.COUNT.format(status=status, where=where), values)
        return int(cursor.fetchone()[0])


def latest(connection: Connection, condition: Condition) -> float | None:
    """When the last of these FAILED."""
    where, values = condition
    with reading(connection) as cursor:
        cursor.execute(texts.LATEST.format(where=where), values)
        return epoch(connection, cursor.fetchone()[0])


def walk(connection: Connection, condition: Condition, after: Position, limit: int) -> list[Position]:
    """The next FAILED rows in the order of a replay: (`created`, id)."""
    where, values = condition
    if after.created is None:
        steps = [(texts.FIRST_WALK, [after.uuid]), ("created IS NOT NULL", [])]
    else:
        steps = [(texts.SECOND_WALK[connection.vendor], [after.created, after.uuid])]
    found: list[Position] = []
    with walking(connection) as cursor:
        for position, passed in steps:
            if len(found) < limit:
                select = texts.WALK.format(where=where, position=position)
                cursor.execute(select, [*values, *passed, limit - len(found)])
                found += [Position(created, uuid) for uuid, created in cursor.fetchall()]
    return found


def walk_by_id(
    connection: Connection, condition: Condition, status: str, after: str, limit: int
) -> list[str]:
    """The next ids of rows in that state."""
    where, values = condition
    with walking(connection) as cursor:
        cursor.execute(texts.WALK_BY_ID.format(status=status, where=where), [*values, after, limit])
        return [row[0] for row in cursor.fetchall()]


# -- changing -----------------------------------------------------------------------------------------


def replay(connection: Connection, ids: Sequence[str], due: float, retry_count: int) -> list[str]:
    """FAILED -> QUEUED for those of `ids` that still are FAILED, each with its full retries, all with one due time.
    Returns which."""
    statements = sql.of(connection)
    update = texts.REPLAY.format(replay=statements.REPLAY, among=texts.AMONG[connection.vendor])
    with connection.cursor() as cursor:
        _lock(connection, cursor, ids)
        cursor.execute(update, [due, retry_count, statements.texts(ids)])
        queued = {row[0] for row in cursor.fetchall()}
    crashpoints.reach("replay-batch-uncommitted")
    return [task_id for task_id in ids if task_id in queued]


def delete(connection: Connection, ids: Sequence[str], status: str) -> int:
    """Deletes those of `ids` that are still in that state, with their attempts. Returns how many."""
    statements = sql.of(connection)
    among = texts.AMONG[connection.vendor]
    with connection.cursor() as cursor:
        _lock(connection, cursor, ids)
        cursor.execute(texts.DELETE.format(among=among, status=status), [statements.texts(ids)])
        deleted = [row[0] for row in cursor.fetchall()]
        if deleted:
            cursor.execute(statements.PRUNE_ATTEMPTS, [statements.texts(deleted)])
    return len(deleted)


def _lock(connection: Connection, cursor: Any, ids: Sequence[str]) -> None:
    """All in one order, so that two who come for the same rows wait for each other, and not both for ever."""
    if connection.vendor == "postgresql":
        cursor.execute(texts.LOCK, [list(ids)])


def status(connection: Connection, task_id: str) -> tuple[str, int, float] | None:
    """State, attempts, due time. None: the row is gone."""
    with connection.cursor() as cursor:
        cursor.execute(texts.STATUS, [task_id])
        row = cursor.fetchone()
    return None if row is None else tuple(row)
