"""scripts/bench as a command, with few tasks: its figures, its JSON, and that a run which lost something has none."""

import json
import os
import re
import signal
import subprocess
import sys

import pytest

from tests.acceptance.daemon import ROOT, wait_for
from tests.bench.evidence import LINE, Evidence, Failed
from tests.bench.figures import at_least, at_most, plus, times

WORKLOADS = ["one-by-one", "map", "backlog", "latency-0", "children-noop"]


def bench(*arguments):
    command = [sys.executable, "-m", "tests.bench", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.acceptance
def test_each_figure_has_its_limit_and_its_verdict(tmp_path):
    path = tmp_path / "found.json"
    done = bench(
        *WORKLOADS, "--scale", "0.02", "--history", "500", "--json", str(path), "--folder", str(tmp_path)
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(path.read_text())
    assert list(dict.fromkeys(row["workload"] for row in found["figures"])) == WORKLOADS
    assert (found["errors"], found["skipped"]) == ([], [])
    assert found["options"]["history"] == 500
    assert found["machine"]["django"]
    for row in found["figures"]:
        assert row["median"] == row["values"][0] > 0
        if row["aim"]:
            assert row["limit"] > 0
            assert row["met"] is (
                row["median"] >= _bound(row) if ">=" in row["aim"] else row["median"] <= _bound(row)
            )
        assert row["figure"] in done.stdout
    assert list(tmp_path.iterdir()) == [path]  # the sites are gone


@pytest.mark.acceptance
def test_a_run_that_is_stopped_leaves_no_process_and_no_file(tmp_path):
    command = [sys.executable, "-m", "tests.bench", "idle", "--folder", str(tmp_path)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        pid = int(wait_for(lambda: _pid_of_daemon(tmp_path), "its daemon", 60))
        os.kill(pid, 0)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 130
    finally:
        process.kill()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert list(tmp_path.iterdir()) == []


def _pid_of_daemon(folder):
    logs = "".join(path.read_text() for path in folder.rglob("daemon-*.log"))
    found = re.search(r" ready in .* pid (\d+),", logs)
    return found and found[1]


def _bound(row):
    return float(row["aim"].split()[1].replace(",", ""))


def test_the_workloads_are_listed_and_an_unknown_one_is_refused():
    assert set(WORKLOADS) < set(bench("--list").stdout.split())
    refused = bench("one-by-two")
    assert refused.returncode == 2
    assert "unknown workload one-by-two: choose from one-by-one" in refused.stderr


def test_a_task_that_started_twice_is_no_figure(tmp_path):
    path = tmp_path / "starts"
    lines = [b"%08d %020d\n" % (number, moment) for number, moment in ((1, 10), (2, 20), (1, 30))]
    path.write_bytes(b"".join(lines[:2]))
    assert Evidence(path).read() == {1: 10, 2: 20}
    path.write_bytes(b"".join(lines))
    assert Evidence(path).lines == 3
    assert {len(line) for line in lines} == {LINE}
    with pytest.raises(Failed, match="task 1 has two lines"):
        Evidence(path).read()


def test_a_task_that_never_starts_is_no_figure(tmp_path):
    with pytest.raises(Failed, match="0 of 1 lines in starts"):
        Evidence(tmp_path / "starts").wait(1, alive=lambda: None, stall=0.05)


@pytest.mark.parametrize(
    ("aim", "met", "missed"),
    [(at_least(10), (10, None), (9, 99)), (at_most(10), (10, None), (11, 99)), (times(2), (4, 2), (5, 2)),
     (plus(2), (4, 2), (5, 2)), (times(2), (4, 2), (4, None))],
)  # fmt: skip
def test_what_meets_an_aim(aim, met, missed):
    assert aim.test(*met)
    assert not aim.test(*missed)
