"""How fast the daemon works off what is waiting when it starts."""

from __future__ import annotations

import time

from tests.bench.figures import Figure, at_least
from tests.bench.raw import BATCH
from tests.bench.stage import Stage
from tests.bench.workloads import workload
from tests.bench.workloads.throughput import CHUNK, TASKS, seconds


def raw_drain(stage: Stage, count: int) -> float:
    """Rows a second of bare claims and finishes."""
    place, client = stage.raw(relaxed=True), stage.client()
    client.run(way="raw_many", first=0, count=count // CHUNK, size=CHUNK, raw=place)
    batches = -(-count // BATCH) + 1
    return count / seconds([client.run(way="raw_drain", first=0, count=batches, raw=place)])


@workload("backlog")
def backlog(stage: Stage) -> list[Figure]:
    count = stage.scaled(TASKS, CHUNK) // CHUNK * CHUNK
    limit = raw_drain(stage, count)
    stage.client().run(way="many", first=0, count=1, size=count)
    executed = time.monotonic_ns()
    stage.daemon(ready=False)
    starts = stage.started(count).values()
    aim = at_least(10_000 if stage.vendor == "sqlite" else 5000)
    drained = (count - 1) / ((max(starts) - min(starts)) / 1e9)
    return [
        Figure("drained, first to last start", drained, "/s", aim, limit, "raw claim + finish, 200 each"),
        Figure("from exec to the last start", (max(starts) - executed) / 1e9, "s"),
    ]
