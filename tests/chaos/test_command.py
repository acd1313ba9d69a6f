"""scripts/chaos as a command: rounds, an interruption, going on, and what a run that is not valid leaves."""

import json
import signal
import subprocess
import sys

import pytest

from tests.acceptance.daemon import ROOT, wait_for

pytestmark = pytest.mark.chaos

ROUNDS = ["--seed", "5", "--tasks", "3000", "--kills", "3", "--faults", "3", "--rounds", "3"]


def start(*arguments):
    command = [sys.executable, "-m", "tests.chaos", *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def end(process):
    """Exit code and output."""
    said, _ = process.communicate(timeout=200)
    return process.returncode, said


def rounds(folder):
    path = folder / "results.json"
    return json.loads(path.read_text())["rounds"] if path.exists() else []


def test_a_run_that_was_interrupted_goes_on_after_its_last_finished_round(tmp_path):
    folder = tmp_path / "full"
    arguments = ["--full", *ROUNDS, "--folder", str(folder)]
    process = start(*arguments)
    second = folder / "round-1"

    def at_work():
        return any(path.stat().st_size > 10_000 for path in second.glob("daemon-0.tasks.*"))

    wait_for(at_work, "the second round at work", 120)
    process.send_signal(signal.SIGINT)
    code, said = end(process)
    assert code == 130, said
    assert "go on with: scripts/chaos --seed 5 --tasks 3000 --kills 3 --faults 3 --database sqlite" in said
    (first,) = rounds(folder)
    code, said = end(start(*arguments))
    assert code == 0, said
    assert "round 1/3" not in said
    assert "round 3/3" in said
    found = rounds(folder)
    assert found[0] == first
    assert [each["valid"] for each in found] == [True, True, True]
    total = json.loads((folder / "results.json").read_text())["total"]
    assert (total["tasks"], total["kills"]) == (3000, 3)
    # A run that is finished says the same again, and does nothing.
    code, again = end(start(*arguments))
    assert code == 0
    assert again.splitlines()[-3:] == said.splitlines()[-3:]


def test_a_folder_of_another_run_is_refused(tmp_path):
    (tmp_path / "results.json").write_text(json.dumps({"options": {"seed": 1}, "rounds": []}))
    code, said = end(start(*ROUNDS, "--folder", str(tmp_path)))
    assert code == 2
    assert "holds a run with other options: {'seed': 1}" in said


def test_a_run_that_is_not_valid_keeps_its_folder_and_says_how_to_do_it_again(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    few = ["--tasks", "200", "--kills", "0", "--faults", "0", "--children", "0"]
    code, said = end(start("--seed", "7", *few, "--lie", "start-twice"))
    assert code == 1, said
    (folder,) = tmp_path.glob("ztaskd-chaos-*")
    assert f"folder  {folder}" in said
    assert (folder / "round-0" / "daemon-0.log").exists()
    again = said.splitlines()[-1].split("scripts/chaos ")[1]
    assert "--seed 7 --tasks 200 --kills 0 --faults 0" in again
    code, said = end(start("--seed", "7", *few))
    assert code == 0, said
    assert list(tmp_path.iterdir()) == [folder]  # a good run leaves nothing behind
    code, said = end(start(*again.split()))
    assert code == 1, said
