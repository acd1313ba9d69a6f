"""Children for suspects: started when there are some, gone soon after the last of them."""

from __future__ import annotations

import os
import time

from gevent.lock import Semaphore

from ztaskd.workers.pool import Limits, Workers
from ztaskd.workers.worker import Worker

# Seconds for which a child without work is kept.
LINGER = 3.0


class TemporaryWorkers(Workers):
    """`suspect-1`, `suspect-2`, ... None is started before a task needs it."""

    prefix = "suspect"

    def __init__(self, size: int, level: int, limits: Limits) -> None:
        super().__init__(size, level, limits)
        self._booting = Semaphore(os.cpu_count() or 1)  # more at a time would only be slower

    def tend(self) -> None:
        super().tend()
        now = time.monotonic()
        for worker in [worker for worker in self._idle if now - worker.idle_since > LINGER]:
            if not self._ready.acquire(blocking=False):
                return
            self._idle.remove(worker)
            worker.stop()
            self._bury(worker)

    def _give_back(self, worker: Worker) -> None:
        worker.idle_since = time.monotonic()
        super()._give_back(worker)

    def _replace(self) -> None:
        with self._booting:
            if self.wanted:  # (short tasks share the first that is up)
                super()._replace()

    def _replace_later(self) -> None:
        """Nobody comes in its place, unless a task needs one."""
