"""Tasks in two child processes: what they add to work that computes, and how many a second that do nothing. Beside
them a bare multiprocessing.Pool in a plain process of the same run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.acceptance.daemon import ROOT, Daemon, wait_for
from tests.bench.compute import CHILDREN
from tests.bench.evidence import Failed
from tests.bench.figures import Figure, at_least, at_most
from tests.bench.stage import PATIENCE, Stage
from tests.bench.workloads import Skipped, workload
from tests.bench.workloads.throughput import CHUNK, began, hand_over

COMPUTING, NOOPS = 200, 10_000

# Tasks that keep children busy until all are there and warm: a second on one of them.
WARMING = 50

POOL = f"multiprocessing.Pool({CHILDREN})"


def plain(stage: Stage, count: int, noops: int = 1, *rounds: int) -> dict[str, Any]:
    """What tests/bench/compute.py says of this moment."""
    command = [sys.executable, "-m", "tests.bench.compute", *map(str, (count, noops, *rounds))]
    done = subprocess.run(
        command, env=stage.env(), cwd=ROOT, capture_output=True, text=True, check=True, timeout=PATIENCE
    )
    return dict(json.loads(done.stdout))


def daemon_with_children(stage: Stage, rounds: int) -> Daemon:
    """A daemon whose children are there, and warm: the numbers 0..WARMING-1 have run in them."""
    if (os.cpu_count() or 1) < CHILDREN:
        raise Skipped(f"{CHILDREN} children want {CHILDREN} processors")
    daemon = stage.daemon("--worker-pool-size", str(CHILDREN))
    hand_over(stage, "computes", 1, size=WARMING, rounds=rounds)
    stage.started(range(WARMING))
    wait_for(lambda: len(children(daemon)) == CHILDREN, "all children")
    return daemon


def children(daemon: Daemon) -> list[int]:
    """Their process ids."""
    return [int(pid) for pid in Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children").read_text().split()]


@workload("children-cpu")
def children_cpu(stage: Stage) -> list[Figure]:
    """The ideal: half of what one plain process needs for the same calls. That is measured before and after, since a
    machine's speed wanders."""
    count = stage.scaled(COMPUTING, 40)
    before = plain(stage, count)
    rounds = before["rounds"]
    daemon = daemon_with_children(stage, rounds)
    client = stage.client()  # (it stays: its end would take a processor's time from the children)
    answer = client.run(way="computes", first=0, count=1, size=count, offset=WARMING, rounds=rounds)
    stage.started(range(WARMING + count))
    elapsed = (max(stage.ends.read().values()) - began([answer])) / 1e9
    if daemon.stop() != 0:
        raise Failed(f"the daemon ended with {daemon.process.poll()}: {daemon.log[-2000:]}")
    after = plain(stage, count, 1, rounds)
    ideal, pool = ((before[name] + after[name]) / 2 for name in ("alone", "pool"))
    ideal /= CHILDREN
    aim = stage.aim(at_most(1.06), at_most(1.06))
    return [
        Figure("elapsed / ideal", elapsed / ideal, "", aim, pool / ideal, POOL),
        Figure("first call to last end", elapsed, "s", None, ideal, "ideal"),
        Figure("one call alone", 1000 * CHILDREN * ideal / count, "ms"),
    ]


@workload("children-noop")
def children_noop(stage: Stage) -> list[Figure]:
    count = stage.scaled(NOOPS, CHUNK) // CHUNK * CHUNK
    bare = plain(stage, WARMING, count)
    daemon_with_children(stage, bare["rounds"])
    answers = hand_over(stage, "many_in_children", 1, size=count, offset=WARMING)
    starts = stage.started(range(WARMING + count))
    moments = sorted(starts[number] for number in range(WARMING, WARMING + count))
    whole, drained = count / (moments[-1] - began(answers)), (count - 1) / (moments[-1] - moments[0])
    aim = stage.aim(at_least(3000), at_least(3000))
    return [
        Figure("end to end", whole * 1e9, "/s", aim, count / bare["noops"], POOL),
        Figure("first to last start", drained * 1e9, "/s", None, count / bare["noops"], POOL),
    ]
