"""The hub's lag: how late it wakes who has slept. A late answer of ours is one and the same thing."""

from __future__ import annotations

import time
from collections import deque

import gevent

from ztaskd.http.counts import Histogram

# Seconds between two measurements, and for how long the worst is remembered.
PERIOD, WINDOW = 0.25, 10.0

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Lag:
    """`last` and `worst()` (of the last WINDOW seconds) in seconds; `histogram` of all."""

    def __init__(self) -> None:
        self.last = 0.0
        self.histogram = Histogram(BOUNDS)
        self._recent: deque[tuple[float, float]] = deque()

    def serve(self) -> None:
        """A service greenlet."""
        while True:
            began = time.monotonic()
            gevent.sleep(PERIOD)
            now = time.monotonic()
            self.note(max(0.0, now - began - PERIOD), now)

    def note(self, seconds: float, now: float) -> None:
        self.last = seconds
        self.histogram.observe(seconds)
        self._recent.append((now, seconds))
        self._forget(now)

    def worst(self, now: float | None = None) -> float:
        self._forget(time.monotonic() if now is None else now)
        return max((seconds for _, seconds in self._recent), default=0.0)

    def _forget(self, now: float) -> None:
        while self._recent and self._recent[0][0] < now - WINDOW:
            self._recent.popleft()
