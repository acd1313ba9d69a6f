"""A lane: places of one kind, and the rows that may be claimed for them. Lanes have nothing in common: one that is
full costs the others nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Any, Protocol

from django_ztask import lifecycle
from django_ztask.lifecycle import GREENLET, PROCESS
from django_ztask.rows import Claimed
from ztaskd.batch import Pools
from ztaskd.schedule import MOST_AHEAD, Pace

# What the slots of a node run, and what its children: without and with --multiprocess.
SLOTS: Pools = ("", GREENLET)
CHILDREN: Pools = (PROCESS,)
FEWER_SLOTS: Pools = (GREENLET,)
MORE_CHILDREN: Pools = ("", PROCESS)

# What a node runs alone, each in a child of its own, and how many of them at a time.
SUSPECTS: Pools = lifecycle.SUSPECTS
MOST_SUSPECTS = lifecycle.MOST_SUSPECTS


class Places(Protocol):
    """Where tasks run: up to `size` at a time, the others wait. Each end goes to the dispatcher's `finished`."""

    size: int
    running: dict[Any, Claimed]

    def put(self, task: Claimed) -> None: ...

    def take_back(self) -> list[Claimed]:
        """What has not started."""

    def interrupt(self) -> None: ...

    def hold(self, ids: Collection[str] | None, begun: Callable[[Claimed], bool]) -> list[Claimed]:
        """What has not started of these (None: of all). What has a place and has not `begun` there is interrupted,
        and comes back by itself."""

    def cancel(self, ids: Collection[str]) -> list[Claimed]:
        """Raises TaskCancelled in what runs; returns what has not started, and waits no longer."""


class Lane:
    """`pools`: the values of the rows' column that it serves."""

    def __init__(self, pools: Pools, places: Places) -> None:
        self.pools = pools
        self.places = places
        self.held = 0  # claimed and not finished
        self.asked = 0  # named to the committer, not answered
        self.looking = 0  # asked for by the look under way
        self.backlog = False  # some may be waiting that nobody has named
        self.again = False  # more was heard of while a look was under way: it may have missed it
        self._pace = Pace()

    def room(self) -> int:
        """How many more rows may be claimed."""
        return self._room(self._pace.ahead(time.monotonic()))

    def wants(self, anyway: bool) -> int:
        """For how many rows a look is worth while; 0: none, for now. (While a good part of what was claimed ahead
        still waits for a place, a look for a row or two can wait, except `anyway`.)"""
        ahead = self._pace.ahead(time.monotonic())
        room = self._room(ahead)
        worth = ahead - min(ahead // 2, MOST_AHEAD // 4)
        if room <= 0 or (room < worth and not anyway):
            self.backlog = True
            return 0
        return room

    def heard(self) -> None:
        """Rows are there that no name has brought, or none will: they are to be looked for."""
        self.backlog = self.again = True

    def overlooked(self) -> None:
        """The look under way may have missed some, or leaves this lane out."""
        if self.looking:
            self.again = True
        else:
            self.backlog = True

    def looks(self, number: int) -> None:
        """A look for so many begins."""
        self.looking, self.again = number, False

    def looked(self, more: bool) -> None:
        """A look is over; this lane may have been no part of it."""
        if self.looking:
            self.looking = 0
            self.backlog = more or self.again

    def finished(self) -> None:
        self.held -= 1
        self._pace.finished(time.monotonic())

    def _room(self, ahead: int) -> int:
        return self.places.size + ahead - self.held - self.asked - self.looking


class SuspectsLane(Lane):
    """Of suspects, never more are claimed than there are free places: nobody else is to become one because of what
    they do. No message brings them; they are looked for at the start and at each sweep, and while there are some."""

    def __init__(self, places: Places) -> None:
        super().__init__(SUSPECTS, places)

    def heard(self) -> None:
        pass

    def finished(self) -> None:
        self.held -= 1  # (and no pace, by which rows would be claimed ahead)
