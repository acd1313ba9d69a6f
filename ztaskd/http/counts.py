"""What is counted while the node runs: plain numbers, since each task pays for them. Given out by metrics.py.

`hear` is called on the hub, `committed` by the journal's thread; whoever reads may read while they write.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from typing import Any

from django_ztask import registry
from django_ztask.lifecycle import Event, Kind
from django_ztask.rows import Claimed, Finish

# Task functions with numbers of their own; what comes later counts as OTHER.
MOST, OTHER = 200, "other"

WAITS = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
    300.0,
    1800.0,
    3600.0,
)
RUNS = (0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0, 300.0, 1800.0)
ROWS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0)
COMMITS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)

# Kinds of attempts that say that there is no such function, or that it was not called.
NOT_CALLED = (Kind.UNKNOWN, Kind.REFUSED, Kind.NOT_STARTED)

# Ends that no attempt of ours led to: housekeeping writes them.
ENDS = {
    "task_failed_interrupted": "failed",
    "task_failed_unknown": "failed",
    "task_failed_odd": "failed",
    "task_cancelled": "cancelled",
}


class Histogram:
    """`counts`: one for each bound, which belongs to it, and one for what is above all of them."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """Each bound as a text with what is not above it, as Prometheus wants them."""
        found, sum_so_far = [], 0
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            sum_so_far += count
            found.append((bound, float(sum_so_far)))
        return found


class OfFunction:
    """One task function's numbers."""

    __slots__ = ("outcomes", "runs", "started", "succeeded")

    def __init__(self) -> None:
        self.started = 0
        self.succeeded = 0
        self.outcomes: Counter[str] = Counter()  # the others
        self.runs = Histogram(RUNS)

    def by_outcome(self) -> dict[str, int]:
        """The frequent ones are there from the beginning: a rate needs a first value."""
        return {"succeeded": self.succeeded, "failed": 0, "retried": 0, **self.outcomes}


class Counts:
    """Of one node, since its start."""

    def __init__(self) -> None:
        self.functions: dict[str, OfFunction] = {OTHER: OfFunction()}
        self.waits = Histogram(WAITS)
        self.rows, self.commits = Histogram(ROWS), Histogram(COMMITS)
        self.retries = self.crashes = self.interruptions = self.fenced = 0

    def hear(self, event: str, fields: dict[str, Any]) -> None:
        """The subscriber."""
        if event == "task_ended":
            self._ended(fields["finish"], fields["seconds"])
        elif event == "task_started":
            self._started(fields["task"])
        elif event == "task_fenced":
            self.fenced += 1
        elif event in ENDS:
            self._of(fields["function"]).outcomes[ENDS[event]] += 1
        elif event == "row_unreadable":
            self.functions[OTHER].outcomes["failed"] += 1

    def committed(self, rows: int, seconds: float) -> None:
        """One transaction of the journal's thread."""
        self.rows.observe(rows)
        self.commits.observe(seconds)

    def _started(self, task: Claimed) -> None:
        (self.functions.get(task.function_name) or self._of(task.function_name)).started += 1
        self.waits.observe(max(0.0, time.time() - task.due))

    def _ended(self, finish: Finish, seconds: float) -> None:
        name, kind = finish.task.function_name, finish.outcome.kind
        numbers = self.functions.get(name) or self._of(name, kind not in NOT_CALLED)
        if kind is Kind.SUCCESS:
            numbers.succeeded += 1
        else:
            numbers.outcomes[self._outcome(finish)] += 1
        if finish.started is not None:
            numbers.runs.observe(seconds)

    def _of(self, name: str, is_one: bool = False) -> OfFunction:
        """(A row may name anything: only what this process or a child of it has found becomes a label.)"""
        numbers = self.functions.get(name)
        if numbers is not None:
            return numbers
        if len(self.functions) > MOST or not (is_one or registry.knows(name)):
            return self.functions[OTHER]
        numbers = self.functions[name] = OfFunction()
        return numbers

    def _outcome(self, finish: Finish) -> str:
        """The label of an end that is no success, and the totals of what costs attempts."""
        event, kind = finish.verdict.event, finish.outcome.kind
        self.retries += event is Event.RETRY
        self.crashes += kind is Kind.CRASH
        self.interruptions += kind is Kind.INTERRUPTED
        if event is Event.HAND_BACK:
            return {Kind.CRASH: "crashed", Kind.INTERRUPTED: "interrupted"}.get(kind, "handed_back")
        return {Event.RETRY: "retried", Event.CANCEL: "cancelled"}.get(event, "failed")
