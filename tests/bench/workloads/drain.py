"""How fast the daemon works off what is waiting when it starts: tasks that do nothing, and tasks that sleep."""

from __future__ import annotations

import math
import time

from tests.bench.evidence import Failed
from tests.bench.figures import Aim, Figure, at_least, times
from tests.bench.raw import BATCH
from tests.bench.stage import Stage
from tests.bench.workloads import workload
from tests.bench.workloads.throughput import CHUNK, TASKS, hand_over, seconds


def raw_drain(stage: Stage, count: int) -> float:
    """Rows a second of bare claims and finishes."""
    place = stage.raw(relaxed=True)
    hand_over(stage, "raw_many", count // CHUNK, size=CHUNK, raw=place)
    batches = math.ceil(count / BATCH) + 1
    answers = hand_over(stage, "raw_drain", batches, raw=place)
    claimed = sum(call[2] for call in answers[0]["calls"])
    if claimed != count:
        raise Failed(f"the limit has drained {claimed} of {count} rows")
    return count / seconds(answers)


@workload("backlog")
def backlog(stage: Stage) -> list[Figure]:
    count = stage.scaled(TASKS, CHUNK) // CHUNK * CHUNK
    limit = raw_drain(stage, count)
    hand_over(stage, "many", 1, size=count)
    executed = time.monotonic_ns()
    stage.daemon(ready=False)
    starts = stage.started(range(count)).values()
    aim = stage.aim(at_least(10_000), at_least(5000))
    drained = (count - 1) / ((max(starts) - min(starts)) / 1e9)
    return [
        Figure("drained, first to last start", drained, "/s", aim, limit, "raw claim + finish, 200 each"),
        Figure("from exec to the last start", (max(starts) - executed) / 1e9, "s"),
    ]


def sleeping(stage: Stage, count: int, slots: int, nap: float, aim: Aim | None) -> list[Figure]:
    hand_over(stage, "naps", 1, size=count, seconds=nap)
    stage.daemon("-c", str(slots), ready=False)
    starts = stage.started(range(count))
    ends = stage.ends.read()
    taken = (max(ends.values()) - min(starts.values())) / 1e9
    ideal = math.ceil(count / slots) * nap
    return [Figure("first start to last end", taken, "s", aim, ideal, "ideal")]


@workload("sleep-100")
def sleep_100(stage: Stage) -> list[Figure]:
    return sleeping(stage, stage.scaled(4000, 100), 100, 0.05, stage.aim(times(1.03)))


@workload("sleep-2000")
def sleep_2000(stage: Stage) -> list[Figure]:
    return sleeping(stage, stage.scaled(10_000, 2000), 2000, 0.05, stage.aim(times(1.1)))


@workload("sleep-2000-1s")
def sleep_2000_1s(stage: Stage) -> list[Figure]:
    """The same with naps of a second: starting 2,000 tasks takes longer than 50 ms."""
    return sleeping(stage, stage.scaled(10_000, 2000), 2000, 1.0, None)
