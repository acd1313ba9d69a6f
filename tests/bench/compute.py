"""Work for a processor, and what it costs without ztaskd: `python -m tests.bench.compute COUNT NOOPS` prints how many
rounds are about 20 ms here, the seconds of COUNT such calls alone and in a bare multiprocessing.Pool(2), and the
seconds of NOOPS calls in that pool. A plain process: no Django, no gevent, no thread.
"""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.pool import Pool

# Children, here and in the daemon. Seconds of one call.
CHILDREN, CALL = 2, 0.02

TRIAL = 100_000  # rounds


def burn(rounds: int) -> int:
    """Pure Python, one step like the other, and no memory."""
    total = 0
    for number in range(rounds):
        total += number * number % 7
    return total


def nothing(number: int) -> None:
    """What is left is the pool's own work."""


def timed(rounds: int) -> float:
    began = time.perf_counter()
    burn(rounds)
    return time.perf_counter() - began


def rounds_of_a_call() -> int:
    return int(TRIAL * CALL / min(timed(TRIAL) for _ in range(20)))


def alone(rounds: int, count: int) -> float:
    began = time.perf_counter()
    for _ in range(count):
        burn(rounds)
    return time.perf_counter() - began


def pooled(pool: Pool, rounds: int, count: int) -> float:
    began = time.perf_counter()
    pool.map(burn, [rounds] * count, chunksize=1)
    return time.perf_counter() - began


def pooled_nothing(pool: Pool, count: int) -> float:
    began = time.perf_counter()
    pool.map(nothing, range(count), chunksize=1)
    return time.perf_counter() - began


def main() -> None:
    import multiprocessing  # (not for the daemon, which has `burn` of here)

    count, noops, *told = map(int, sys.argv[1:])
    rounds = told[0] if told else rounds_of_a_call()
    with multiprocessing.get_context("fork").Pool(CHILDREN) as pool:
        pooled(pool, rounds, 4 * CHILDREN)  # (all is warm from here on)
        found = {
            "rounds": rounds,
            "alone": alone(rounds, count),
            "pool": pooled(pool, rounds, count),
            "noops": pooled_nothing(pool, noops),
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
