"""What the daemon costs when there is nothing to do, and how soon it runs its first task."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from tests.acceptance.daemon import ROOT
from tests.bench.evidence import Failed
from tests.bench.figures import Figure, at_most, plus
from tests.bench.stage import Stage
from tests.bench.workloads import workload
from tests.bench.workloads.throughput import hand_over

STARTS, IDLE = 5, 20.0

# A process that has imported Django and the project: when that was, and what memory it then has.
DJANGO = """
import time
import django
django.setup()
print(time.monotonic_ns(), open("/proc/self/status").read().split("VmRSS:")[1].split()[0])
"""


def python_and_django(stage: Stage) -> tuple[float, float]:
    """Seconds from exec, and MiB."""
    executed = time.monotonic_ns()
    command = [sys.executable, "-c", DJANGO]
    done = subprocess.run(command, env=stage.env(), cwd=ROOT, capture_output=True, text=True, check=True)
    ready, rss = done.stdout.split()
    return (int(ready) - executed) / 1e9, int(rss) / 1024


@workload("start")
def start(stage: Stage) -> list[Figure]:
    starts = stage.scaled(STARTS, 2)
    python_and_django(stage)  # (its files are in memory from here on)
    limit = statistics.median(python_and_django(stage)[0] for _ in range(starts))
    client, taken = stage.client(), []
    for number in range(starts):
        client.run(way="one", first=number, count=1)
        executed = time.monotonic_ns()
        daemon = stage.daemon(ready=False)
        taken.append((stage.started(range(number + 1))[number] - executed) / 1e9)
        if daemon.stop() != 0:
            raise Failed(f"the daemon ended with {daemon.process.poll()}: {daemon.log[-2000:]}")
    aim = stage.aim(plus(0.2))
    return [Figure("exec to first task", statistics.median(taken), "s", aim, limit, "python + Django import")]


@workload("idle")
def idle(stage: Stage) -> list[Figure]:
    _, limit = python_and_django(stage)
    daemon = stage.daemon()
    hand_over(stage, "one", 100)
    stage.started(range(100))
    time.sleep(2)
    used, began = processor_seconds(daemon.pid), time.monotonic()
    time.sleep(max(IDLE * stage.scale, 1.0))
    percent = 100 * (processor_seconds(daemon.pid) - used) / (time.monotonic() - began)
    return [
        Figure("processor, idle", percent, "%", stage.aim(at_most(0.3))),
        Figure("RSS", stage.rss(daemon), "MiB", stage.aim(at_most(55)), limit, "python + Django import"),
    ]


def processor_seconds(pid: int) -> float:
    """Used by all threads so far: to the nanosecond where the kernel counts them, else in its ticks."""
    counts = list(Path(f"/proc/{pid}/task").glob("*/schedstat"))
    if counts:
        return sum(int(path.read_text().split()[0]) for path in counts) / 1e9
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
