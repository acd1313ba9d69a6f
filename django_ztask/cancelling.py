"""Cancelling: what a caller does to a row, and what becomes of it. A queued task is CANCELLED at once; of a running
one the row says that it is to end, whatever happens to its node, and the node is told.

Verbs like those of journal.py: one transition, one guarded statement. Times are epoch seconds.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from django_ztask import announcement, crashpoints, patience, rows, sql, transport
from django_ztask.lifecycle import Kind, Status

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper as Connection

# What can be cancelled.
STATES = (Status.QUEUED, Status.RUNNING)

NOBODY = "it was cancelled, and nobody runs it any more: its node died, or its end was undone"


def cancel(connection: Connection, task_id: str, states: Sequence[str] = STATES) -> str | None:
    """Asks for a task's end, in the caller's transaction if there is one. Returns the row's state then: CANCELLED, or
    RUNNING when its node is to end it. None: there is no such row, or it is in none of `states` (it has ended before).
    Raises what the database raises: then nothing was asked, as far as anybody knows."""
    connection.ensure_connection()
    status = ask(connection, task_id, time.time(), states)
    if status == Status.RUNNING:
        _tell(connection, task_id)
    return status


def ask(connection: Connection, task_id: str, now: float, states: Sequence[str] = STATES) -> str | None:
    """QUEUED -> CANCELLED; a RUNNING row stays so, and asks for its end. Returns the state then, or None. Rows in a
    state that is not one of `states` stay as they are."""
    moment = rows.stamp(connection, now)
    statement = sql.CANCEL.format(", ".join(f"'{Status(state)}'" for state in states))
    found: list[Any] = []

    def write() -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement, [moment, moment, task_id])
            found[:] = cursor.fetchall()

    patience.patiently(connection, write)
    crashpoints.reach("caller-cancelled", found)
    return found[0][0] if found else None


def _tell(connection: Connection, task_id: str) -> None:
    """After the commit. (In a manual transaction nobody tells: the node's next round finds it.)"""
    if connection.in_atomic_block:
        announcement.pending(connection).cancelled.append(task_id)
    elif patience.is_free(connection):
        transport.send_cancels([task_id])


def asked(connection: Connection, boot: str, ids: Sequence[str] = ()) -> list[str]:
    """Those of `ids` (or all, without any) that run at `boot` and are to end."""
    with connection.cursor() as cursor:
        if ids:
            named = sql.CANCELS_NAMED.format(", ".join(["%s"] * len(ids)))
            cursor.execute(named, [*ids, boot])
        else:
            cursor.execute(sql.CANCELS, [boot])
        return [row[0] for row in cursor.fetchall()]


def settle(
    connection: Connection, boot: str, now: float, held: Collection[str] = ()
) -> list[tuple[str, str]]:
    """RUNNING -> CANCELLED for what `boot` ran, was to end, and nobody holds. Returns (id, task function) of each."""
    ended = rows.stamp(connection, now)
    statements = sql.of(connection)
    with connection.cursor() as cursor:
        cursor.execute(sql.SETTLE.format(statements.NOT_AMONG), [ended, boot, statements.texts(held)])
        settled = cursor.fetchall()
        attempts = [
            (task_id, attempt, Kind.CANCELLED.value, boot, started, ended, NOBODY, "")
            for task_id, _, attempt, started in settled
        ]
        if attempts:
            statements.insert_attempts(cursor, attempts)
    return [(task_id, function) for task_id, function, _, _ in settled]
