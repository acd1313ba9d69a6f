"""The promise, on both databases: kills of the daemon and of its children, every other fault, and nothing is lost."""

import importlib.util
import json
import subprocess
import sys

import pytest

from tests import postgres
from tests.acceptance.daemon import ROOT

pytestmark = pytest.mark.chaos


def run(*arguments, seconds=300):
    """A whole run of the command: exit code and what it said."""
    command = [sys.executable, "-m", "tests.chaos", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False)
    return done.returncode, done.stdout + done.stderr


def check(folder, tasks, kills):
    """The result of its only round."""
    (result,) = json.loads((folder / "results.json").read_text())["rounds"]
    assert result["valid"]
    assert result["kills"] == kills
    assert (result["lost"], result["unexpected"], result["stuck"]) == (0, 0, 0)
    assert result["duplicated"] <= result["bound"]
    # Every single task is accounted for; how many were refused while the database was away is the machine's.
    accounted = ("executed", "rolled_back", "refused", "cut_off")
    assert result["tasks"] == tasks == sum(result[name] for name in accounted)
    assert result["executed"] > tasks / 2
    assert result["crashes"] >= 1, "some child was killed with its task"
    return result


def test_twenty_thousand_tasks_outlive_ten_kills_on_sqlite(tmp_path):
    arguments = [
        "--seed",
        "38",
        "--tasks",
        "20000",
        "--kills",
        "10",
        "--faults",
        "12",
        "--child-faults",
        "12",
    ]
    code, said = run(*arguments, "--folder", str(tmp_path / "run"))
    assert code == 0, said
    result = check(tmp_path / "run", 20_000, 10)
    assert {"child-kill", "child-segv", "child-term", "child-stop"} <= result["faults"].keys()
    assert {"lock", "client", "term", "stop", "blackhole", "clock"} <= result["faults"].keys()


def test_five_thousand_tasks_outlive_five_kills_on_postgresql(tmp_path):
    if importlib.util.find_spec("psycopg") is None:
        pytest.skip("no psycopg here")
    try:
        postgres.programs()
    except postgres.NotFound as error:
        pytest.skip(str(error))
    arguments = ["--seed", "23", "--tasks", "5000", "--kills", "5", "--faults", "8", "--child-faults", "8"]
    code, said = run("--database", "postgresql", *arguments, "--folder", str(tmp_path / "run"))
    assert code == 0, said
    result = check(tmp_path / "run", 5_000, 5)
    assert {"immediate", "terminate", "fast"} <= result["faults"].keys()
