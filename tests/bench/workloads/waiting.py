"""Tasks for later: many that become due in the same moment."""

from __future__ import annotations

import json
import time

from tests.bench.figures import Figure, at_most, percentile
from tests.bench.stage import Stage
from tests.bench.workloads import workload
from tests.bench.workloads.throughput import hand_over

COUNT, SECONDS = 5000, 1


@workload("after")
def after(stage: Stage) -> list[Figure]:
    """Due in the same second: one every 0.2 ms."""
    early, late = _due(stage, spread=1.0)
    return [
        Figure("early", early, "tasks", stage.aim(at_most(0))),
        Figure("late, p50", percentile(late, 50), "ms"),
        Figure("late, p99", percentile(late, 99), "ms", stage.aim(at_most(100))),
    ]


@workload("after-burst")
def after_burst(stage: Stage) -> list[Figure]:
    """Due within the moment that their calls take: the last of them waits until all others have started."""
    early, late = _due(stage, spread=0.0)
    return [
        Figure("early", early, "tasks", stage.aim(at_most(0))),
        Figure("late, p50", percentile(late, 50), "ms"),
        Figure("late, p99", percentile(late, 99), "ms"),
    ]


def _due(stage: Stage, spread: float) -> tuple[int, list[float]]:
    """How many started before they were due, and how late each was (ms)."""
    count = stage.scaled(COUNT)
    stage.daemon()
    (answer,) = hand_over(stage, "later", 1, size=count, seconds=SECONDS, spread=spread)
    committed = answer["calls"][0][1]
    starts = stage.started(range(count))
    clocks = time.time_ns() - time.monotonic_ns()
    late, early = [], 0
    for args, due in stage.sql(
        "SELECT args, next_attempt FROM django_ztask_task WHERE function_name LIKE '%noop'"
    ):
        started = starts.get(json.loads(args)[0])
        if started is not None:
            due_ns = due * 1e9 - clocks
            early += started < due_ns - 1e5  # (a float of epoch seconds, read at another moment)
            late.append((started - max(due_ns, committed)) / 1e6)
    return early, late
