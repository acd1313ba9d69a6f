"""How many tasks there are in which state, counted in the journal. A million rows take a tenth of a second, which
neither the hub nor the journal's thread has: a native thread of its own counts, and rests ever so much longer.
"""

from __future__ import annotations

import time
from typing import Any

from gevent.threadpool import ThreadPool

from django_ztask import aside
from ztaskd.storage import TROUBLE, Storage

# Seconds between two countings; as many times as long as a counting took; and for how long a reader waits for one.
PAUSE, REST, PATIENCE = 5.0, 50.0, 2.0

# Each along the index of its state. (What is put aside is neither due nor later: it waits for an operator.)
QUEUED = """SELECT count(*), count(*) FILTER (WHERE pool LIKE %s),
    count(*) FILTER (WHERE pool NOT LIKE %s AND next_attempt > %s)
    FROM django_ztask_task WHERE status = 'QUEUED'"""
OTHERS = """SELECT (SELECT count(*) FROM django_ztask_task WHERE status = 'RUNNING'),
    (SELECT count(*) FROM django_ztask_task WHERE status = 'FAILED')"""


class Depth:
    """`states`: tasks by state, or None when they could not be counted; `counted`: when, in epoch seconds."""

    def __init__(self, storage: Storage) -> None:
        self.states: dict[str, int] | None = None
        self.counted = 0.0
        self._storage = storage
        self._pool = ThreadPool(1)
        self._counting: Any = None
        self._next = 0.0

    def refresh(self) -> None:
        """Counts once more, if it is time; a counting that takes longer than PATIENCE is for the next reader."""
        if self._counting is None and time.monotonic() >= self._next:
            self._counting = self._pool.spawn(self._count)
        if self._counting is not None:
            self._counting.wait(PATIENCE)
        if self._counting is not None and self._counting.ready():
            counting, self._counting = self._counting, None
            self.states, seconds = counting.get()
            self.counted = time.time()
            self._next = time.monotonic() + max(PAUSE, REST * seconds)

    def _count(self) -> tuple[dict[str, int] | None, float]:
        """In the thread."""
        began = time.monotonic()
        try:
            with self._storage.look() as connection:
                return count(connection), time.monotonic() - began
        except TROUBLE:
            return None, time.monotonic() - began
        finally:
            self._storage.close()


def count(connection: Any) -> dict[str, int]:
    """Tasks by state."""
    with connection.cursor() as cursor:
        cursor.execute(QUEUED, [f"{aside.PREFIX}%", f"{aside.PREFIX}%", time.time()])
        queued, paused, later = cursor.fetchone()
        cursor.execute(OTHERS)
        running, failed = cursor.fetchone()
    due = queued - paused - later
    return {"due": due, "later": later, "paused": paused, "running": running, "failed": failed}
