"""A real systemd (a user's manager) in namespaces of its own, where the machine lets us have one."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from tests.acceptance.daemon import PATIENCE, Program, wait_for

# It runs where it believes that systemd has booted the machine, and ends with its process 1.
INSIDE = """
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system
systemd --user --log-target=console --unit=empty.target
"""

COMMAND = [
    "unshare",
    "--mount",
    "--pid",
    "--cgroup",
    "--fork",
    "--kill-child",
    "--mount-proc",
    "sh",
    "-c",
    INSIDE,
]


class Systemd:
    """Runs one unit. `text` of its program: what it and its units print."""

    def __init__(self, folder: Path) -> None:
        self.unit = folder / "config" / "systemd" / "user" / "ztaskd.service"
        self.unit.parent.mkdir(parents=True)
        self.unit.with_name("empty.target").write_text("[Unit]\nDescription=nothing\n")
        self.runtime = folder / "r"
        self.runtime.mkdir(mode=0o700)
        self.env = {
            "PATH": os.environ["PATH"],
            "XDG_RUNTIME_DIR": str(self.runtime),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "HOME": str(folder),
        }
        self.cgroup = _cgroup()
        enter = ["sh", "-c", f'echo $$ > {self.cgroup}/cgroup.procs && exec "$@"', "sh"]
        self.program = Program([*enter, *COMMAND], self.env, folder, folder / "systemd.out")

    def wait_running(self) -> None:
        wait_for(
            lambda: self.program.process.poll() is not None or self.control("show-environment")[0] == 0,
            "systemd",
        )
        if self.program.process.poll() is not None:
            text = self.program.text
            pytest.skip(f"no systemd of our own here: {text}")

    def control(self, *args: str, **more: str) -> tuple[int, str]:
        """systemctl: exit code and output."""
        done = subprocess.run(
            [*self._enter(), "systemctl", "--user", "--no-pager", *args],
            env={**self.env, **more},
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE,
            check=False,
        )
        return done.returncode, (done.stdout + done.stderr).strip()

    def _enter(self) -> list[str]:
        """Into its namespaces: elsewhere systemctl finds no systemd."""
        pid = self.program.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return ["nsenter", "--mount", "--pid", "--target", *children[:1]]

    def show(self, name: str) -> str:
        """A property of the unit."""
        return self.control("show", "--value", "-p", name, "ztaskd")[1]

    def becomes(self, state: str) -> None:
        wait_for(lambda: self.show("ActiveState") == state, f"{state}: {self.program.text}")

    def close(self) -> None:
        self.program.kill9()
        wait_for(self._is_empty, "the end of everything in the control group")

    def _is_empty(self) -> bool:
        for folder in sorted(self.cgroup.rglob("*/"), reverse=True):
            with suppress(OSError):
                folder.rmdir()
        with suppress(OSError):
            self.cgroup.rmdir()
        return not self.cgroup.exists()


def _cgroup() -> Path:
    """One of our own. Skips the test when there is none to be had."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("systemd", "systemctl", "unshare", "nsenter"))):
        pytest.skip("needs root, systemd, unshare and nsenter")
    mounted = Path("/sys/fs/cgroup")
    base = mounted / "systemd" if (mounted / "systemd").is_dir() else mounted
    folder = base / f"ztaskd-test-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no control group of our own: {error}")
    return folder
