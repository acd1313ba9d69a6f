"""How many tasks have ended here, how, and how fast; and the last failures. No more than a few counters: each task that
ends pays for it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from django_ztask.lifecycle import Event, Kind
from django_ztask.rows import Finish

# What has become of a task, in the words of what is told. (The last: interrupted, or unknown here; it runs again.)
OUTCOMES = {
    Event.SUCCEED: "succeeded",
    Event.RETRY: "retried",
    Event.FAIL: "failed",
    Event.CANCEL: "cancelled",
    Event.HAND_BACK: "handed_back",
}

NAMES, NUMBERS = tuple(OUTCOMES.values()), {event: number for number, event in enumerate(OUTCOMES)}
NONE = [0] * len(NAMES)

SUCCEED = Event.SUCCEED  # the first

# Seconds over which the rates are told.
WINDOWS = (10, 60)

# How many failures are kept, and how much of their texts.
FAILURES, TEXT = 5, 300

FAILED = (Kind.FAILURE, Kind.CRASH, Kind.REFUSED)


class Tallies:
    """Since the node's start. `hear` is a subscriber of events, on the hub."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.failures: deque[dict[str, Any]] = deque(maxlen=FAILURES)
        self._clock = clock
        self._began = clock()
        self._second = int(self._began)
        self._next = self._second + 1.0
        self._ended = list(NONE)  # in this second, in the order of NAMES
        self._seconds: deque[tuple[int, list[int]]] = deque()  # the last ones
        self._totals = list(NONE)  # in all seconds before this one

    def hear(self, event: str, fields: dict[str, Any]) -> None:
        """(An event's hash is Python code: what mostly happens does without.)"""
        if event == "task_ended":
            if (now := self._clock()) >= self._next:
                self._turn(int(now))
            finish = fields["finish"]
            what = finish.verdict.event
            if what is SUCCEED:
                self._ended[0] += 1
                return
            self._ended[NUMBERS[what]] += 1
            if finish.outcome.kind in FAILED:
                self.failures.append(_failure(finish))

    def totals(self) -> dict[str, int]:
        return {
            name: total + ended for name, total, ended in zip(NAMES, self._totals, self._ended, strict=True)
        }

    def rates(self) -> dict[str, dict[str, float]]:
        """Tasks a second, by outcome, over the last `10s` and `60s`; over less while the node is younger."""
        if (now := self._clock()) >= self._next:
            self._turn(int(now))
        return {f"{window}s": self._rate(window, now) for window in WINDOWS}

    def _rate(self, window: int, now: float) -> dict[str, float]:
        """(The second that has begun counts as the part of it that is over.)"""
        since = self._second - window + 1
        seconds = max(min(now - since, now - self._began), 1.0)
        found = [ended for second, ended in self._seconds if second >= since] + [self._ended]
        return {
            name: round(sum(numbers) / seconds, 3)
            for name, numbers in zip(NAMES, zip(*found, strict=True), strict=True)
        }

    def _turn(self, second: int) -> None:
        """Another second has begun."""
        self._seconds.append((self._second, self._ended))
        self._totals = [total + ended for total, ended in zip(self._totals, self._ended, strict=True)]
        while self._seconds and self._seconds[0][0] <= second - WINDOWS[-1]:
            self._seconds.popleft()
        self._second, self._next, self._ended = second, second + 1.0, list(NONE)


def _failure(finish: Finish) -> dict[str, Any]:
    lines = [line for line in (finish.outcome.exception or "").splitlines() if line.strip()]
    return {
        "id": finish.task.id,
        "function": fit(finish.task.function_name),
        "attempt": finish.attempt,
        "kind": str(finish.outcome.kind),
        "outcome": OUTCOMES[finish.verdict.event],
        "exception": fit(lines[0] if lines else ""),
        "time": finish.finished,
    }


def fit(text: object) -> str:
    """What can travel: not too long, and nothing that UTF-8 has no bytes for."""
    return str(text)[:TEXT].encode("utf-8", "backslashreplace").decode()
