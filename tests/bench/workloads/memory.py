"""What a child process keeps while it has nothing to do, beside as many plain processes with the same project."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from tests.acceptance.daemon import ROOT
from tests.bench.compute import CHILDREN
from tests.bench.figures import Figure
from tests.bench.stage import Stage
from tests.bench.workloads import workload
from tests.bench.workloads.children import children, daemon_with_children

# A process that has imported what the tasks need and waits. (The daemon is one more that shares the libraries.)
PLAIN = """
import sys
import django
django.setup()
import tests.bench.tasks
print(flush=True)
sys.stdin.read()
"""

# Rounds of a task that warms: its length is no matter here.
ROUNDS = 200_000


@workload("children-memory")
def children_memory(stage: Stage) -> list[Figure]:
    limit = of_plain_processes(stage, CHILDREN + 1)
    found = memory(children(daemon_with_children(stage, ROUNDS)))
    beside = "python + django.setup + tasks"
    return [
        Figure(f"{name} of an idle child", found[name], "MiB", None, limit[name], beside) for name in found
    ]


def of_plain_processes(stage: Stage, number: int) -> dict[str, float]:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PLAIN],
            env=stage.env(),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for _ in range(number)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            process.stdout.readline()
        return memory(process.pid for process in processes)
    finally:
        for process in processes:
            process.communicate()


def memory(pids: Iterable[int]) -> dict[str, float]:
    """MiB in the mean: all of it, the process's share of it, and what no other process shares."""
    found = [rollup(pid) for pid in pids]
    return {name: statistics.mean(each[name] for each in found) for name in found[0]}


def rollup(pid: int) -> dict[str, float]:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    kilobytes = {name: int(value.split()[0]) for name, _, value in (line.partition(":") for line in lines)}
    private = kilobytes["Private_Clean"] + kilobytes["Private_Dirty"]
    return {"RSS": kilobytes["Rss"] / 1024, "PSS": kilobytes["Pss"] / 1024, "private memory": private / 1024}
