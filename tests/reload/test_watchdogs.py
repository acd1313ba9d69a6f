"""Both watchdogs: the tests of this folder hold with the installed one, and here with the other."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.reload.watched import again, is_again

TESTS = ("test_changes.py", "test_places.py", "test_trouble.py")


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the other major version: the oldest we support, or the newest there is."""
    installed = int(importlib.metadata.version("watchdog").split(".")[0])
    wanted = "watchdog==6.0.0" if installed > 6 else "watchdog>6"
    folder = tmp_path_factory.mktemp("other")
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), wanted],
        capture_output=True,
        text=True,
        timeout=120,
    )
    if done.returncode != 0:
        pytest.skip(f"{wanted} cannot be had (no network?): {done.stderr.strip().splitlines()[-1:]}")
    return folder


@pytest.mark.parametrize("name", TESTS)
def test_the_other_watchdog_does_as_well(name: str, other: Path, tmp_path: Path) -> None:
    if is_again():
        pytest.skip("this is the other watchdog")
    path = os.pathsep.join(filter(None, [str(other), os.environ.get("PYTHONPATH", "")]))
    code = "import watchdog; print(watchdog.__file__)"
    environment = {**os.environ, "PYTHONPATH": path}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert found.stdout.startswith(str(other))
    again(name, [], tmp_path, {"PYTHONPATH": path, "ZTASKD_TEST_AGAIN": ""})
