"""The way from the hub to the journal's thread, and how requests gather into a batch there.

Claims, looks and calls wake the thread at once. Ends do not: they wait a moment for company, and go with
whatever wakes it first. To wake it for each of them cost more than to write them.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Mapping
from typing import Any

from gevent import monkey

from django_ztask.progress import Progress
from django_ztask.rows import Finish
from ztaskd.batch import Batch, Request

# Native ones: the patched versions would make a hub of their own in the thread.
SimpleQueue = monkey.get_original("queue", "SimpleQueue")
Empty = monkey.get_original("queue", "Empty")

# Rows of one transaction: SQLite's lock is held for about 2 ms.
BATCH = 200

# Characters of results in one transaction, roughly: a statement of PostgreSQL's has room for 1 GB.
CHARACTERS = 16 * 2**20

# Seconds that an end waits for others.
COMPANY = 0.002

_WAKE = None


class Inbox:
    """`put`, `end` and `wake` are the hub's, `gather` and `rest` the thread's. `later(callback)` calls the
    hub in COMPANY seconds: it is asked once for many ends."""

    def __init__(self, later: Callable[[Callable[[], None]], object]) -> None:
        self._later = later
        self._queue: Any = SimpleQueue()
        self._ends: collections.deque[Finish] = collections.deque()
        self._said: Mapping[str, Progress] | None = (
            None  # set by the hub where it is None, None by the thread
        )
        self._expected = False  # the thread has been woken for the ends, or soon is

    def put(self, request: Request) -> None:
        self._queue.put(request)

    def end(self, finish: Finish) -> None:
        self._ends.append(finish)
        if len(self._ends) == BATCH:
            self._queue.put(_WAKE)
        elif not self._expected:
            self._expected = True
            self._later(self.wake)

    def say(self, said: Mapping[str, Progress]) -> bool:
        """How far running tasks are. False: the thread has not even taken what was said before."""
        if self._said is not None:
            return False
        self._said = said
        self._queue.put(_WAKE)
        return True

    def wake(self) -> None:
        """The ends have waited long enough."""
        self._expected = False
        if self._ends:
            self._queue.put(_WAKE)

    def gather(self, wait: float | None) -> Batch | None:
        """The next batch: waits for something to do, then takes what is there. None: nothing came in `wait`
        seconds, or it was done already."""
        batch = Batch()
        try:
            if len(self._ends) < BATCH:
                self._add(batch, self._queue.get(timeout=wait))
            while batch.size < BATCH and not batch.stop:
                self._add(batch, self._queue.get_nowait())
        except Empty:
            pass
        while self._ends and batch.size < BATCH and batch.characters < CHARACTERS:
            batch.add(self._ends.popleft())
        if self._said is not None:
            batch.said, self._said = self._said, None
        return batch or None

    def _add(self, batch: Batch, request: Request | None) -> None:
        if request is not _WAKE:
            batch.add(request)

    def rest(self) -> Batch:
        """What is left after Stop: outcomes only; there are no more claims."""
        batch = Batch()
        while self._ends:
            batch.finishes.append(self._ends.popleft())
        return batch
