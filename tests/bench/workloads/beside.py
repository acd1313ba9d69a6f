"""Callers beside a daemon that works off a backlog as fast as it can: how long do their calls take?"""

from __future__ import annotations

from typing import Any

from tests.bench.evidence import LINE, Failed
from tests.bench.figures import Figure, at_most, percentile
from tests.bench.stage import Stage
from tests.bench.workloads import workload
from tests.bench.workloads.throughput import CHUNK, hand_over, lengths, seconds

BACKLOG, PROCESSES, THREADS = 40_000, 4, 4

# Seconds of the same without the daemon.
ALONE = 4.0

# Each process has so many numbers, more than it uses; the backlog has those from 0 on.
NUMBERS = 1_000_000


def call_until(stage: Stage, part: int, start: bool, **end: Any) -> list[dict[str, Any]]:
    """All callers at once, until what `end` says. The daemon is started when they are ready."""
    clients = [stage.client() for _ in range(PROCESSES)]
    if start:
        stage.daemon()
    for number, client in enumerate(clients):
        first = (part * PROCESSES + number) * NUMBERS
        client.ask(way="one", first=first, count=NUMBERS, threads=THREADS, **end)
    answers = [client.answer(errors=True) for client in clients]
    for client in clients:
        client.end()
    return answers


@workload("beside-callers")
def beside_callers(stage: Stage) -> list[Figure]:
    alone = call_until(stage, 1, False, seconds_long=max(ALONE * stage.scale, 0.5))
    count = stage.scaled(BACKLOG, 2000) // CHUNK * CHUNK
    hand_over(stage, "many", 1, size=count)
    both = call_until(stage, 2, True, until=[str(stage.starts.path), count * LINE])
    errors = [error for answer in alone + both for error in answer["errors"]]
    other = [error for error in errors if "locked" not in error]
    if other:
        raise Failed(f"{len(other)} calls failed: {other[0]}")
    called = {call[3] for answer in alone + both for call in answer["calls"]}
    stage.started(called | set(range(count)))
    times, without, beside = lengths(both), lengths(alone), "without the daemon"
    locked = sum(len(answer["errors"]) for answer in both)
    rate, limit = len(times) / seconds(both), len(without) / seconds(alone)
    return [
        Figure("database is locked", locked, "", stage.aim(at_most(0)), len(errors) - locked, beside),
        Figure(
            "call, p99", percentile(times, 99), "ms", stage.aim(at_most(100)), percentile(without, 99), beside
        ),
        Figure("slowest call", max(times), "ms", stage.aim(at_most(500)), max(without), beside),
        Figure("enqueue", rate, "/s", None, limit, beside),
        Figure("drained meanwhile", count / seconds(both), "/s"),
    ]
