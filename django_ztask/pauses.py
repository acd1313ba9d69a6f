"""Paused queues: who has paused what, and what becomes of the rows. A pause is a committed row, for all nodes.

Verbs like those of journal.py. What runs goes on. Rows of a paused queue that a node meets are put aside, once: their
`pool` becomes one that no lane serves. When the pause is over, a node brings them back, a few at a time.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from django.db import transaction

from django_ztask import aside, crashpoints, looking, patience, replays, rows, sql
from django_ztask.sql import direct
from django_ztask.sql import pauses as texts
from django_ztask.sql.pauses import EVERYTHING

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper as Connection


class Pause(msgspec.Struct, frozen=True):
    """One in force. `queue`: EVERYTHING for all of them. `since`: epoch seconds."""

    number: int
    queue: str
    since: float
    by: str
    reason: str = ""

    @property
    def what(self) -> str:
        return "everything" if self.queue == EVERYTHING else f"queue {self.queue}"

    @property
    def again(self) -> str:
        """The command that ends it."""
        return (
            "ztaskd resume"
            if self.queue == EVERYTHING
            else f"ztaskd resume --queue {shlex.quote(self.queue)}"
        )

    @property
    def since_whom(self) -> str:
        then = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return f"since {then} by {self.by}{f' ({self.reason})' if self.reason else ''}"

    def concerns(self, queue: str) -> bool:
        return self.queue in (EVERYTHING, queue)


class Waiting(msgspec.Struct, frozen=True):
    """Tasks of a queue. `known`: there is, or was, one."""

    queued: int
    running: int
    known: bool


def current(connection: Connection) -> list[Pause]:
    """Those in force, the first one first."""
    with looking.reading(connection) as cursor:
        cursor.execute(texts.CURRENT)
        found = cursor.fetchall()
    return [
        Pause(number, queue, looking.epoch(connection, since) or 0.0, by, reason)
        for number, queue, since, by, reason in found
    ]


def pause(connection: Connection, queue: str, reason: str = "") -> tuple[Pause, bool]:
    """The pause of that queue (or of EVERYTHING), and whether it is new. It is on disk then. Raises what the database
    raises."""
    values = [queue, rows.stamp(connection, time.time()), replays.who(), reason]
    is_new = bool(_synced(connection, texts.PAUSE, values))
    crashpoints.reach("pause-committed")
    found = next((pause for pause in current(connection) if pause.queue == queue), None)
    return (found, is_new) if found is not None else pause(connection, queue, reason)  # (resumed meanwhile)


def resume(connection: Connection, pause: Pause) -> bool:
    """Ends a pause. False: somebody else has done so. Its rows come back by a node's hand."""
    return bool(_synced(connection, texts.RESUME, [pause.number]))


def _synced(connection: Connection, statement: str, values: Sequence[Any]) -> int:
    """Rows that were changed, on disk."""
    changed: list[int] = []

    def write() -> None:
        with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute(texts.SYNCED["postgresql"])
            cursor.execute(statement, values)
            changed[:] = [int(cursor.rowcount)]

    connection.ensure_connection()
    if connection.vendor == "sqlite" and not connection.in_atomic_block:
        with connection.cursor() as cursor:
            cursor.execute(texts.SYNCED["sqlite"])
    patience.patiently(connection, write)
    return changed[0]


def waiting(connection: Connection, queue: str) -> Waiting:
    """How many there are, of that queue or of EVERYTHING. (Walks over all that are queued.)"""
    where, values = ("1 = 1", []) if queue == EVERYTHING else ("queue = %s", [queue])
    with connection.cursor() as cursor:

        def asked(statement: str, values: list[str]) -> int:
            cursor.execute(statement, values)
            return int(cursor.fetchone()[0])

        queued, running = (
            asked(texts.COUNT.format(status, where), values) for status in ("QUEUED", "RUNNING")
        )
        known = queue == EVERYTHING or queued or running or asked(texts.KNOWN, [queue])
    return Waiting(queued, running, bool(known))


# -- what nodes do ------------------------------------------------------------------------------------


def claimed(connection: Connection, boot: str, queues: Collection[str]) -> list[str]:
    """The ids of what `boot` has claimed, of these queues."""
    with connection.cursor() as cursor:
        cursor.execute(texts.CLAIMED.format(", ".join(["%s"] * len(queues))), [boot, *queues])
        return [row[0] for row in cursor.fetchall()]


def among(connection: Connection, ids: Collection[str]) -> set[str]:
    """Those of `ids` that are of a paused queue."""
    with direct.cursor(connection) as cursor:
        cursor.execute(texts.AMONG[connection.vendor], [sql.of(connection).texts(ids)])
        return set(json.loads(cursor.fetchone()[0]))


def put_aside(connection: Connection, ids: Collection[str]) -> int:
    """Those of `ids` that are QUEUED and of a paused queue: no look meets them from now on. Returns how many."""
    with direct.cursor(connection) as cursor:
        cursor.execute(texts.PUT_ASIDE[connection.vendor], [sql.of(connection).texts(ids)])
        put = int(cursor.rowcount)
    crashpoints.reach("aside-uncommitted", range(put))
    return put


def pools_aside(connection: Connection) -> list[str]:
    """The pools of rows that are put aside, in the database's order. (Nobody but `fail_odd` finds what is no UTF-8.)"""
    with looking.reading(connection) as cursor:
        cursor.execute(texts.POOLS_ASIDE)
        return [row[0] for row in cursor.fetchall()]


def strays(connection: Connection, pauses: Collection[Pause]) -> list[str]:
    """Pools of rows that are put aside though their pause is over."""
    numbers = {pause.number for pause in pauses}
    return [pool for pool in pools_aside(connection) if aside.pause(pool) not in numbers]


def bring_back(connection: Connection, limit: int) -> int:
    """The first `limit` rows, at most, that are aside without a pause go where they belong. Returns how many."""
    brought = 0
    with connection.cursor() as cursor:
        for pool in strays(connection, current(connection)):
            cursor.execute(texts.FIRST_PRIORITY, [pool])
            priority = cursor.fetchone()[0]
            cursor.execute(texts.BRING_BACK[connection.vendor], [aside.home(pool), pool, priority, limit])
            if brought := int(cursor.rowcount):
                break  # (else somebody has them locked: no reason to wait for others)
    crashpoints.reach("back-uncommitted", range(brought))
    return brought
