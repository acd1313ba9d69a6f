"""Many callers at once, each task confirmed: threads of one process, and processes."""

from __future__ import annotations

from tests.bench.figures import Figure, at_least, at_most
from tests.bench.stage import Stage
from tests.bench.workloads import workload
from tests.bench.workloads.throughput import TASKS, end_to_end, hand_over, lengths, seconds

SLOWEST = 250.0  # ms


def callers(stage: Stage, aim: float, processes: int, threads: int) -> list[Figure]:
    count = stage.scaled(TASKS, 100) // processes * processes
    order = {"clients": processes, "threads": threads}
    raw = hand_over(stage, "raw_one", count, **order, raw=stage.raw())
    stage.daemon()
    answers = hand_over(stage, "one", count, **order)
    whole, limit, beside = end_to_end(stage, count, answers), count / seconds(raw), "raw, as many callers"
    slowest = max(lengths(answers))
    return [
        Figure("enqueue", count / seconds(answers), "/s", stage.aim(at_least(aim)), limit, beside),
        Figure("end to end", whole, "/s", None, limit, beside),
        Figure("slowest call", slowest, "ms", stage.aim(at_most(SLOWEST)), max(lengths(raw)), beside),
    ]


@workload("threads-8")
def threads_8(stage: Stage) -> list[Figure]:
    return callers(stage, 5000, processes=1, threads=8)


@workload("threads-32")
def threads_32(stage: Stage) -> list[Figure]:
    return callers(stage, 8000, processes=1, threads=32)


@workload("processes-4")
def processes_4(stage: Stage) -> list[Figure]:
    return callers(stage, 3000, processes=4, threads=1)
