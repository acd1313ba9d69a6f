"""How soon a task starts after its call began, when the daemon is otherwise idle."""

from __future__ import annotations

import sys

from tests.acceptance.daemon import ROOT, Program, free_port
from tests.bench.figures import Figure, at_most, milliseconds, percentile
from tests.bench.stage import Stage
from tests.bench.workloads import workload

RATE, CALLS, WARM = 100, 1000, 20

# The other process of the limit's round trip.
ECHO = """
import sys, zmq
socket = zmq.Context.instance().socket(zmq.ROUTER)
socket.bind(sys.argv[1])
while True:
    socket.send_multipart(socket.recv_multipart())
"""


def limits(stage: Stage, calls: int, rate: float) -> tuple[list[float], list[float]]:
    """Of a bare INSERT with fsync, and of that with a message to another process and back: milliseconds."""
    url = f"tcp://127.0.0.1:{free_port()}"
    echo = Program([sys.executable, "-c", ECHO, url], stage.env(), ROOT, stage.folder / "echo.out")
    stage.programs.append(echo)
    order = {"way": "raw_echo", "raw": stage.raw(), "echo": url}
    client = stage.client()
    client.run(**order, first=0, count=WARM, rate=RATE)
    measured = client.run(**order, first=WARM, count=calls, rate=rate)["calls"]
    echo.kill9()
    stage.programs.remove(echo)
    inserted = milliseconds([inserted - begin for begin, _, inserted, _ in measured])
    return inserted, milliseconds([end - begin for begin, end, _, _ in measured])


def latency(stage: Stage, calls: int, rate: float) -> list[Figure]:
    inserted, echoed = limits(stage, calls, rate)
    daemon, client = stage.daemon(), stage.client()
    client.run(way="one", first=0, count=WARM, rate=RATE)
    measured = client.run(way="one", first=WARM, count=calls, rate=rate)["calls"]
    rss = stage.rss(daemon)
    starts = stage.started(range(WARM + calls))
    called = milliseconds([end - begin for begin, end, _, _ in measured])
    waited = milliseconds([starts[number] - begin for begin, _, _, number in measured])
    figures = []
    for name, values, beside, limit, aims in (
        ("call", called, "raw INSERT + fsync", inserted, (None, None)),
        (
            "call to start",
            waited,
            "the same + echo",
            echoed,
            (stage.aim(at_most(1.0)), stage.aim(at_most(2.0))),
        ),
    ):
        for percent, aim in zip((50, 99), aims, strict=True):
            figure = (percentile(values, percent), "ms", aim, percentile(limit, percent), beside)
            figures.append(Figure(f"{name}, p{percent}", *figure))
    return [*figures, Figure("RSS", rss, "MiB")]


@workload("latency-0")
def latency_0(stage: Stage) -> list[Figure]:
    return latency(stage, stage.scaled(CALLS), RATE)


@workload("latency-50k")
def latency_50k(stage: Stage) -> list[Figure]:
    stage.wait_for_later(stage.scaled(50_000))
    return latency(stage, stage.scaled(CALLS), RATE)


@workload("latency-1m")
def latency_1m(stage: Stage) -> list[Figure]:
    stage.wait_for_later(stage.scaled(1_000_000))
    return latency(stage, stage.scaled(CALLS), RATE)


@workload("latency-sparse")
def latency_sparse(stage: Stage) -> list[Figure]:
    """One task every two seconds."""
    return latency(stage, stage.scaled(15, 2), 0.5)
