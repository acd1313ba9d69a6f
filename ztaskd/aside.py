"""The journal's thread and paused queues: what it keeps from claiming, and puts aside instead.

As long as nothing is paused, it costs nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from django_ztask import journal, pauses
from django_ztask.pauses import EVERYTHING, Pause
from ztaskd.batch import Pools

# Rows that are put aside at a time: SQLite's lock is held for about 2 ms.
MOST = 500


@dataclass(frozen=True, slots=True)
class Seen:
    """What is paused. `claimed`: ids that this node has, of what it did not know to be paused. `strays`: some rows are
    aside without a pause."""

    pauses: list[Pause] = field(default_factory=list)
    claimed: list[str] = field(default_factory=list)
    strays: bool = False


class Aside:
    """The thread's alone. What it believes to be paused decides whether the journal is asked, which knows."""

    def __init__(self, boot: str) -> None:
        self.boot = boot
        self._queues: frozenset[str] = frozenset()

    def look(self, connection: Any, known: Collection[int]) -> Seen:
        """Reads what is paused; it counts from now on."""
        found = pauses.current(connection)
        self._queues = frozenset(pause.queue for pause in found)
        new = [pause.queue for pause in found if pause.number not in known]
        claimed = pauses.claimed(connection, self.boot, new) if new else []
        return Seen(found, claimed, bool(pauses.strays(connection, found)))

    def due(
        self, connection: Any, now: float, number: int, unknown: Collection[str], pools: Pools
    ) -> list[str]:
        """What `journal.due` finds, without more than `number` that may be claimed; behind them, of paused queues,
        what is to be put aside."""
        if EVERYTHING in self._queues:
            return []
        found = journal.due(connection, now, number, unknown, pools)
        if not self._queues or not found or not pauses.among(connection, found):
            return found
        found = journal.due(connection, now, max(number, MOST), unknown, pools)
        paused = pauses.among(connection, found)
        others = [task_id for task_id in found if task_id not in paused]
        return [*others[:number], *paused]

    def put(self, connection: Any, wanted: dict[Pools, list[str]]) -> int:
        """Before a claim, in its transaction: those of `wanted` that are of a paused queue are put aside, where no
        claim takes them. Returns how many."""
        if not self._queues:
            return 0
        if EVERYTHING in self._queues:
            wanted.clear()
        ids = [task_id for found in wanted.values() for task_id in found]
        return pauses.put_aside(connection, ids) if ids else 0
