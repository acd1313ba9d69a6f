"""The judge sees a broken promise: each lie makes a whole run invalid, and for the right reason."""

import json
import subprocess
import sys

import pytest

from tests.acceptance.daemon import ROOT

pytestmark = pytest.mark.chaos


@pytest.fixture
def run(tmp_path):
    """The exit code and the only round's result of a small run."""

    def start(*arguments):
        command = [sys.executable, "-m", "tests.chaos", "--seed", "7", "--folder", str(tmp_path / "run")]
        command += ["--children", "0", *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode in (0, 1), done.stdout + done.stderr
        (result,) = json.loads((tmp_path / "run" / "results.json").read_text())["rounds"]
        assert result["valid"] == (done.returncode == 0)
        return result

    return start


def test_a_client_that_reports_success_before_its_commit_loses_tasks(run):
    result = run(
        "--lie", "report-early", "--tasks", "1000", "--kills", "0", "--faults", "2", "--only", "client"
    )
    assert set(result["violations"]) == {"lost"}
    assert result["lost"] > 0
    assert "there is no row" in result["violations"]["lost"]["examples"][0]


def test_a_daemon_that_records_the_finish_before_the_task_ran_loses_tasks(run):
    result = run("--lie", "finish-early", "--tasks", "400", "--kills", "1", "--faults", "0")
    assert set(result["violations"]) == {"lost", "unfounded success"}
    assert "SUCCEEDED" in result["violations"]["lost"]["examples"][0]


def test_a_doubled_message_changes_nothing(run):
    result = run("--lie", "send-twice", "--tasks", "500", "--kills", "0", "--faults", "0")
    assert result["violations"] == {}
    assert result["duplicated"] == result["bound"] == 0


def test_a_claim_that_forgets_the_state_makes_it_run_what_is_done(run):
    result = run("--lie", "claim-anything", "--tasks", "500", "--kills", "0", "--faults", "0")
    assert "duplicated" in result["violations"]
    assert set(result["violations"]) <= {"duplicated", "overcharged"}
    assert result["duplicated"] > 0
    assert result["bound"] == 0


def test_a_task_that_is_started_twice_is_not_laid_to_the_kills(run):
    result = run("--lie", "start-twice", "--tasks", "2000", "--kills", "1", "--faults", "0")
    assert set(result["violations"]) == {"duplicated"}


def test_an_outcome_that_is_written_twice_meets_the_fence(run):
    result = run("--lie", "finish-twice", "--tasks", "1000", "--kills", "0", "--faults", "0")
    assert result["violations"] == {}
    assert result["duplicated"] == result["bound"] == 0


def test_without_the_fence_a_late_outcome_charges_a_task_once_more(run):
    result = run("--lie", "forget-fence", "--tasks", "1000", "--kills", "0", "--faults", "0")
    assert "overcharged" in result["violations"]
    assert set(result["violations"]) <= {"overcharged", "duplicated"}


def test_a_rollback_that_commits_is_seen(run):
    result = run("--lie", "ignore-rollback", "--tasks", "1000", "--kills", "0", "--faults", "0")
    assert set(result["violations"]) == {"unexpected"}
    assert "was rolled back" in result["violations"]["unexpected"]["examples"][0]


def test_an_outcome_that_is_forgotten_is_a_task_that_is_stuck(run):
    result = run("--lie", "forget", "--tasks", "500", "--kills", "0", "--faults", "0", "--patience", "6")
    assert "stuck" in result["violations"]
    assert result["stuck"] >= 3
