"""How fast rows are queued again: so many at once that SQLite's lock is held for a moment only, or a given number a
second. And waiting for one task to end before the next is queued."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from typing import Any

# Rows of one transaction; how much longer than it took the next one is put off (daemons and callers work beside).
BATCH, REST = 100, 1.0

# With a rate, rows are queued so often (seconds), a few at a time.
TICK = 0.05

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}

# Seconds between two looks at a task: soon at first, then 2 % of what was waited.
FIRST_LOOK, LAST_LOOK = 0.002, 0.25


def rate(text: str) -> float:
    """Tasks a second, from `50/s`, `50`, `100/m` or `1000/h`. Raises ArgumentTypeError."""
    count, slash, unit = text.partition("/")
    try:
        value = float(count) / UNITS[unit if slash else "s"]
    except (KeyError, ValueError):
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no rate: write 50/s, 100/m or 1000/h")
    return value


class Pace:
    """Says how many rows may be queued next. `rate` is in tasks a second; None: as fast as they go."""

    def __init__(
        self, rate: float | None, most: int = BATCH, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.rate = rate
        self.most = most
        self._clock = clock
        self._next = clock()  # when the next row may go

    def wait(self) -> float:
        """Seconds until there is something to queue."""
        return 0.0 if self.rate is None else max(0.0, self._next - self._clock())

    def number(self) -> int:
        """How many now. (What a slow database has kept back is not made good by a burst: a tick's worth at most.)"""
        if self.rate is None:
            return self.most
        now = self._clock()
        self._next = max(self._next, now - TICK)
        number = max(1, min(self.most, math.floor((now - self._next) * self.rate) + 1))
        if self.rate * TICK > 1:  # (rather a few each tick than one by one)
            number = max(1, min(self.most, round(self.rate * TICK)))
        self._next += number / self.rate
        return number


def wait_for_end(
    look: Callable[[], tuple[str, int, float] | None],
    tell: Callable[[tuple[str, int, float], float], None],
) -> str | None:
    """Waits until a task has ended, and returns its state (None: its row is gone). `look` reads (state, attempts, due
    time); `tell` is told it each time, with the seconds waited."""
    from django_ztask.lifecycle import Status

    began = time.monotonic()
    while (found := look()) is not None and not Status(found[0]).is_final:
        waited = time.monotonic() - began
        tell(found, waited)
        time.sleep(min(max(FIRST_LOOK, waited / 50), LAST_LOOK))
    return None if found is None else found[0]


class Regularly:
    """Calls something when so many seconds have passed since the last time."""

    def __init__(self, seconds: float, call: Callable[[], Any]) -> None:
        self.seconds = seconds
        self.call = call
        self._last = time.monotonic()

    def __call__(self) -> None:
        if time.monotonic() - self._last >= self.seconds:
            self.call()
            self._last = time.monotonic()
