"""How many tasks a second one caller can hand over, and the daemon can start meanwhile."""

from __future__ import annotations

from typing import Any

import django_ztask
from tests.bench.figures import Figure, at_least, at_most, percentile
from tests.bench.stage import Stage
from tests.bench.workloads import Skipped, workload

TASKS = 20_000
CHUNK = 500  # rows of a transaction of map()


def hand_over(stage: Stage, way: str, count: int, clients: int = 1, **order: Any) -> list[dict[str, Any]]:
    """The answers of so many processes that share the numbers 0..count-1 and begin together."""
    share = count // clients
    running = [stage.client() for _ in range(clients)]
    for number, client in enumerate(running):
        client.ask(way=way, first=number * share, count=share, **order)
    answers = [client.answer() for client in running]
    for client in running:
        client.end()
    return answers


def began(answers: list[dict[str, Any]]) -> int:
    return int(min(call[0] for answer in answers for call in answer["calls"]))


def seconds(answers: list[dict[str, Any]]) -> float:
    """From the first call's beginning to the last one's end."""
    return float(max(call[1] for answer in answers for call in answer["calls"]) - began(answers)) / 1e9


def lengths(answers: list[dict[str, Any]]) -> list[float]:
    """Of all calls, in milliseconds."""
    return [(call[1] - call[0]) / 1e6 for answer in answers for call in answer["calls"]]


def end_to_end(stage: Stage, count: int, answers: list[dict[str, Any]]) -> float:
    """Tasks a second, from the first call's beginning to the last start."""
    last = max(stage.started(range(count)).values())
    return count / ((last - began(answers)) / 1e9)


def raw_batches(stage: Stage, count: int) -> float:
    """Rows a second of a bare connection, in transactions of CHUNK."""
    return count / seconds(hand_over(stage, "raw_many", count // CHUNK, size=CHUNK, raw=stage.raw()))


@workload("one-by-one")
def one_by_one(stage: Stage) -> list[Figure]:
    count = stage.scaled(TASKS)
    limit = count / seconds(hand_over(stage, "raw_one", count, raw=stage.raw()))
    stage.daemon()
    answers = hand_over(stage, "one", count)
    whole, beside, aim = end_to_end(stage, count, answers), "raw INSERT + fsync", stage.aim(at_least(3000))
    return [
        Figure("enqueue", count / seconds(answers), "/s", aim, limit, beside),
        Figure("end to end", whole, "/s", aim, limit, beside),
    ]


@workload("unconfirmed")
def unconfirmed(stage: Stage) -> list[Figure]:
    if not hasattr(django_ztask, "flush"):
        raise Skipped("this ztaskd has no confirm=False yet")
    count = stage.scaled(TASKS, CHUNK) // CHUNK * CHUNK
    limit = raw_batches(stage, count)
    stage.daemon()
    client = stage.client()
    answers = [
        client.run(way=way, first=0, count=each) for way, each in (("unconfirmed", count), ("flush", 1))
    ]
    whole, beside = end_to_end(stage, count, answers), "raw batches of 500"
    call = percentile(lengths(answers[:1]), 50) * 1000
    return [
        Figure("call, p50", call, "us", stage.aim(at_most(25)), 1e6 / limit, beside),
        Figure("enqueued and flushed", count / seconds(answers), "/s", None, limit, beside),
        Figure("end to end", whole, "/s", stage.aim(at_least(12_000), at_least(6000)), limit, beside),
    ]


@workload("map")
def map_(stage: Stage) -> list[Figure]:
    count = stage.scaled(TASKS, CHUNK) // CHUNK * CHUNK
    limit = raw_batches(stage, count)
    stage.daemon()
    answers = hand_over(stage, "many", 1, size=count)
    whole, beside = end_to_end(stage, count, answers), "raw batches of 500"
    return [
        Figure("accepted", count / seconds(answers), "/s", stage.aim(at_least(25_000)), limit, beside),
        Figure("end to end", whole, "/s", stage.aim(at_least(12_000), at_least(6000)), limit, beside),
    ]
