"""Children for suspects: started when there are some, gone soon after the last of them."""

from __future__ import annotations

import time

from ztaskd.workers.pool import Workers
from ztaskd.workers.worker import Worker

# Seconds for which a child without work is kept.
LINGER = 3.0


class TemporaryWorkers(Workers):
    """`suspect-1`, `suspect-2`, ... None is started before a task needs it."""

    prefix = "suspect"

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

    def _replace_later(self) -> None:
        """Nobody comes in its place, unless a task needs one."""
