"""Where the time of one task goes."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.acceptance.daemon import ROOT
from tests.bench.figures import Figure
from tests.bench.stage import PATIENCE, Stage
from tests.bench.workloads import Skipped, workload


@workload("steps")
def steps(stage: Stage) -> list[Figure]:
    """Each step of a task alone. (No figure of a whole: the processor's caches are warm for each.)"""
    if stage.vendor != "sqlite":
        raise Skipped("the steps beside the journal's are the same on every database")
    command = [sys.executable, "-m", "tests.bench.steps"]
    done = subprocess.run(
        command, env=stage.env(), cwd=ROOT, capture_output=True, text=True, check=True, timeout=PATIENCE
    )
    return [Figure(name, value, "us") for name, value in json.loads(done.stdout).items()]
