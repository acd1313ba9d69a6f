"""How many tasks a second callers can hand over, and the daemon can start meanwhile."""

from __future__ import annotations

from typing import Any

from tests.bench.figures import Figure, at_least
from tests.bench.stage import Stage
from tests.bench.workloads import workload

TASKS = 20_000
CHUNK = 500  # rows of a transaction of map()


def began(answers: list[dict[str, Any]]) -> int:
    return int(min(call[0] for answer in answers for call in answer["calls"]))


def seconds(answers: list[dict[str, Any]]) -> float:
    """From the first call's beginning to the last one's end."""
    return float(max(call[1] for answer in answers for call in answer["calls"]) - began(answers)) / 1e9


def raw_rate(stage: Stage, way: str, count: int, rows: int, **order: Any) -> float:
    """Rows a second of a bare connection."""
    answer = stage.client().run(way=way, first=0, count=count, raw=stage.raw(), **order)
    return rows / seconds([answer])


@workload("one-by-one")
def one_by_one(stage: Stage) -> list[Figure]:
    count = stage.scaled(TASKS)
    limit = raw_rate(stage, "raw_one", count, count)
    stage.daemon()
    answer = stage.client().run(way="one", first=0, count=count)
    last = max(stage.started(count).values())
    end_to_end = count / ((last - began([answer])) / 1e9)
    beside = "raw INSERT + fsync"
    return [
        Figure("enqueue", count / seconds([answer]), "/s", at_least(3000), limit, beside),
        Figure("end to end", end_to_end, "/s", at_least(3000), limit, beside),
    ]


@workload("map")
def map_(stage: Stage) -> list[Figure]:
    count = stage.scaled(TASKS, CHUNK) // CHUNK * CHUNK
    limit = raw_rate(stage, "raw_many", count // CHUNK, count, size=CHUNK)
    stage.daemon()
    answer = stage.client().run(way="many", first=0, count=1, size=count)
    last = max(stage.started(count).values())
    end_to_end = count / ((last - began([answer])) / 1e9)
    aims = (25_000, 12_000) if stage.vendor == "sqlite" else (None, 6000)
    beside = "raw batches of 500"
    return [
        Figure("accepted", count / seconds([answer]), "/s", aims[0] and at_least(aims[0]), limit, beside),
        Figure("end to end", end_to_end, "/s", at_least(aims[1]), limit, beside),
    ]
