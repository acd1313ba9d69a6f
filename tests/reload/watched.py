"""What a watcher reports, in tests: waited for on its descriptor, never slept for."""

from __future__ import annotations

import logging
import os
import select
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from ztaskd.reload.watching import Watcher

PATIENCE = 30.0  # seconds; a machine under load is slow
ROOT = Path(__file__).resolve().parents[2]


class Watched:
    """A watcher that runs. Paths are told relative to `base`."""

    def __init__(self, base: Path, folders: Iterable[Path], files: Iterable[Path], poll: bool) -> None:
        self.base = base
        self.lines: list[tuple[int, str]] = []
        self._said = threading.Condition()
        self.watcher = Watcher(folders, files, poll=poll, say=self._say)
        self.watcher.start()

    def _say(self, level: int, line: str) -> None:
        with self._said:
            self.lines.append((level, line))
            self._said.notify_all()

    def wait_for_a_warning(self) -> None:
        with self._said:
            assert self._said.wait_for(self.warnings, PATIENCE), "nothing was said"

    def warnings(self) -> list[str]:
        return [line for level, line in self.lines if level >= logging.WARNING]

    def report(self, seconds: float = PATIENCE) -> set[str]:
        """The next one, which must come."""
        assert self.is_readable(seconds), "nothing was reported"
        return {os.path.relpath(path, self.base) for path in self.watcher.take()}

    def is_readable(self, seconds: float = 0.0) -> bool:
        return bool(select.select([self.watcher.fileno()], [], [], seconds)[0])

    def expect(self, *names: str) -> None:
        """Just these are reported. (In more reports than one, when the machine paused between two changes.)"""
        found: set[str] = set()
        until = time.monotonic() + PATIENCE
        while found != set(names):
            found |= self.report(until - time.monotonic())
            assert found <= set(names)

    def expect_only(self, sentinel: Path) -> None:
        """Nothing that was done before counts: a change that does is all that is reported."""
        sentinel.write_text(f"{time.monotonic_ns()}\n")
        self.expect(os.path.relpath(sentinel, self.base))
        assert not self.is_readable()


def again(test: str, program: list[str], folder: Path, environment: dict[str, str] | None = None) -> None:
    """Runs a test of this folder ("file.py::name") in a process of its own, which `program` starts.

    Skips when it was skipped there.
    """
    options = ["-q", "-rs", "-p", "no:cacheprovider", "--basetemp", str(folder / "again")]
    done = subprocess.run(
        [*program, sys.executable, "-m", "pytest", *options, f"tests/reload/{test}"],
        cwd=ROOT,
        env={**os.environ, "ZTASKD_TEST_AGAIN": "1", **(environment or {})},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    if " passed" not in done.stdout:
        pytest.skip(done.stdout.splitlines()[-2])


def is_again() -> bool:
    return bool(os.environ.get("ZTASKD_TEST_AGAIN"))


def as_somebody(test: str, folder: Path) -> bool:
    """Runs the test again as somebody whom permissions stop, if they do not stop us; whether that was done."""
    if os.geteuid() != 0 or is_again():
        return False
    if not (program := shutil.which("setpriv")):
        pytest.skip("permissions stop nobody who is root, and there is no setpriv")
    again(test, [program, "--bounding-set=-dac_override,-dac_read_search"], folder)
    return True
