"""How soon a task starts in a slot while the node's children compute all the while: once they had nothing to do, once
they compute; and how soon a bare process answers beside as many that compute.
"""

from __future__ import annotations

import sys

from tests.acceptance.daemon import ROOT, Program
from tests.bench.compute import CALL, CHILDREN
from tests.bench.evidence import Failed
from tests.bench.figures import Figure, at_most, milliseconds, percentile
from tests.bench.stage import Stage
from tests.bench.workloads import workload
from tests.bench.workloads.children import WARMING, daemon_with_children, plain
from tests.bench.workloads.latency import CALLS, RATE, WARM, limits
from tests.bench.workloads.throughput import hand_over

# Numbers of the tasks in slots, beside those of the computing ones.
CALM, BUSY = 1_000_000, 2_000_000

FLAT_OUT = "from tests.bench.compute import burn\nwhile True: burn(1_000_000)"


@workload("children-latency")
def children_latency(stage: Stage) -> list[Figure]:
    calls = stage.scaled(CALLS, 50)
    bare = beside_computing(stage, calls)
    rounds = plain(stage, WARMING)["rounds"]
    daemon_with_children(stage, rounds)
    calm = call(stage, CALM, calls)
    computing = int(CHILDREN * (WARM + calls) / RATE / CALL)
    hand_over(stage, "computes", 1, size=computing, offset=WARMING, rounds=rounds)
    busy = call(stage, BUSY, calls)
    left = WARMING + computing - stage.ends.lines
    if left <= CHILDREN:
        raise Failed("the children had nothing left to compute before the last call")
    ran = [range(WARMING + computing), *(range(first, first + WARM + calls) for first in (CALM, BUSY))]
    starts = stage.started(number for each in ran for number in each)
    waited, limit = (
        milliseconds([starts[number] - begin for begin, number in each]) for each in (busy, calm)
    )
    figures = []
    for percent, aim in ((50, None), (99, stage.aim(at_most(5.0), at_most(5.0)))):
        name, value = f"call to start, p{percent}", percentile(waited, percent)
        figures += [
            Figure(name, value, "ms", aim, percentile(limit, percent), "idle children"),
            Figure(f"{name} against", value, "ms", None, percentile(bare, percent), "echo, so beside burn()"),
        ]
    return figures


def call(stage: Stage, first: int, count: int) -> list[tuple[int, int]]:
    """When each of so many calls at 100/s began, and its number."""
    client = stage.client()
    client.run(way="one", first=first, count=WARM, rate=RATE)
    answer = client.run(way="one", first=first + WARM, count=count, rate=RATE)
    client.end()
    return [(begin, number) for begin, _, _, number in answer["calls"]]


def beside_computing(stage: Stage, calls: int) -> list[float]:
    """Of a bare INSERT with a message to another process and back, beside plain processes that compute: ms."""
    computing = []
    for number in range(CHILDREN):
        command = [sys.executable, "-c", FLAT_OUT]
        computing.append(Program(command, stage.env(), ROOT, stage.folder / f"computes-{number}.out"))
    stage.programs += computing
    _, echoed = limits(stage, calls, RATE)
    for program in computing:
        program.kill9()
        stage.programs.remove(program)
    return echoed
