"""scripts/fuzz, for as long as it is told: one second, at a real daemon too."""

import json
import subprocess
import sys

import pytest

from tests.acceptance.daemon import ROOT

pytestmark = pytest.mark.acceptance


def fuzz(tmp_path, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "tests.fuzz", *arguments],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_it_runs_for_a_second_and_finds_nothing(tmp_path):
    done = fuzz(tmp_path, "--seconds", "1", "--seed", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "seed 1" in done.stdout
    assert "refused: body " in done.stdout
    assert list(tmp_path.glob("crasher-*")) == []


def test_what_was_sent_to_a_daemon_is_repeated_from_its_file(tmp_path):
    file = tmp_path / "crasher-1.json"
    file.write_text(json.dumps([["bytes", [b"GET / HTTP/1.1".hex()]], ["dealer", ["00", ""]]]))
    done = fuzz(tmp_path, "--repro", str(file))
    assert (done.returncode, done.stdout) == (0, "it crashes nothing\n"), done.stderr
