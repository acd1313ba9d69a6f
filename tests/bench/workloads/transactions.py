"""Tasks enqueued inside transaction.atomic(): what that adds to the transaction, and how soon they start after it."""

from __future__ import annotations

from tests.bench.figures import Figure, at_most, percentile, times
from tests.bench.stage import Stage
from tests.bench.workloads import workload
from tests.bench.workloads.throughput import hand_over, lengths

# Transactions, and their tasks. Seconds between those that are timed until their first start.
ONE, MANY = (2000, 1), (10, 1000)
PACE_ONE, PACE_MANY = 0.01, 0.5


def atomic(stage: Stage, transactions: int, size: int, pace: float, flat_out: bool) -> list[Figure]:
    order = {"size": size, "rate": 0 if flat_out else 1 / pace}
    raw = hand_over(stage, "raw_atomic", transactions, raw=stage.raw(), **order)
    stage.daemon()
    client = stage.client()
    answers = [client.run(way="atomic", first=0, count=transactions, **order)]
    paced, total = answers[0], transactions
    if flat_out:  # the times to the start are those of transactions that find the daemon idle
        stage.starts.wait(transactions * size, stage.alive)
        paced = client.run(
            way="atomic", first=transactions, count=transactions // 4, size=size, rate=1 / pace
        )
        total += transactions // 4
    starts = stage.started(range(total * size))
    waits = [
        (min(starts[number * size + n] for n in range(size)) - committed) / 1e6
        for _, _, committed, number in paced["calls"]
    ]
    taken, limit = percentile(lengths(answers), 50), percentile(lengths(raw), 50)
    beside = "raw INSERT + COMMIT"
    return [
        Figure("transaction, p50", taken, "ms", stage.aim(times(1.5)), limit, beside),
        Figure("commit to first start, p50", percentile(waits, 50), "ms", stage.aim(at_most(1.5))),
        Figure("commit to first start, p99", percentile(waits, 99), "ms"),
    ]


@workload("atomic-one")
def atomic_one(stage: Stage) -> list[Figure]:
    return atomic(stage, stage.scaled(ONE[0]), ONE[1], PACE_ONE, flat_out=True)


@workload("atomic-many")
def atomic_many(stage: Stage) -> list[Figure]:
    return atomic(stage, stage.scaled(MANY[0], 3), MANY[1], PACE_MANY, flat_out=False)
