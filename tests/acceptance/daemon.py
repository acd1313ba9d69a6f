"""The real processes of a test: daemons, callers, and other programs. Each is surely gone at its end."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PROJECT = ROOT / "tests" / "project"
MANAGE = [sys.executable, str(PROJECT / "manage.py"), "ztaskd"]
MODULE = [sys.executable, "-m", "ztaskd", "--settings", "tests.project.settings"]

# Seconds in which a condition must come true; far more than it needs, for machines that do other work too.
PATIENCE = 30.0

# What every caller's snippet begins with. `show` hands a value to the test, as JSON.
PRELUDE = """
import json, os, sys, time
import django
django.setup()
from django_ztask.handle import TaskHandle
from tests.project.shop.models import Order
from tests.project.shop.cancelled import *
from tests.project.shop.coroutines import *
from tests.project.shop.reports import *
from tests.project.shop.sensitive import *
from tests.project.shop.tasks import *
from tests.project.shop.trouble import *
from tests.project.shop.cancels import *
def show(value):
    print(json.dumps(value), flush=True)
exec(sys.stdin.read())
"""


def wait_for(condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """The condition's first true value. Fails the test when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain for: {what}"
        time.sleep(0.01)
    return value


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Program:
    """A process that is surely gone at the end of its test."""

    def __init__(
        self,
        command: list[str],
        env: dict[str, str],
        cwd: Path,
        output: Path,
        stdin: int = subprocess.DEVNULL,
    ) -> None:
        self.output = output
        self.env = env
        with output.open("wb") as file:
            self.process = subprocess.Popen(
                command,
                env=env,
                cwd=cwd,
                stdin=stdin,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def text(self) -> str:
        """What it printed so far."""
        return self.output.read_text(errors="replace")

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self, seconds: float = PATIENCE) -> int:
        """Its exit code."""
        return self.process.wait(seconds)

    def kill9(self) -> None:
        """Ends it and whatever it started."""
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        self.process.wait(PATIENCE)
        if self.process.stdin is not None:
            self.process.stdin.close()


class Caller(Program):
    """A process of the project that has got as far as importing it, and waits for what to do."""

    def __init__(self, env: dict[str, str], output: Path) -> None:
        super().__init__([sys.executable, "-c", PRELUDE], env, ROOT, output, subprocess.PIPE)

    def run(self, code: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(textwrap.dedent(code).encode())
        self.process.stdin.close()


class Daemon(Program):
    """A running ztaskd. `log` is its -f file."""

    def __init__(self, command: list[str], env: dict[str, str], cwd: Path, output: Path, log: Path) -> None:
        self.path = log
        self.began = time.time()
        super().__init__(command, env, cwd, output)

    @property
    def log(self) -> str:
        return self.path.read_text(errors="replace") if self.path.exists() else ""

    def says(self, text: str, seconds: float = PATIENCE) -> str:
        """Waits until `text` is in the log. Returns the line."""
        wait_for(lambda: text in self.log or self.process.poll() is not None, f"{text!r} in the log", seconds)
        lines = [line for line in self.log.splitlines() if text in line]
        assert lines, f"it ended with {self.process.poll()}: {self.log}\n{self.text}"
        return lines[-1]

    def stop(self, number: int = signal.SIGTERM, seconds: float = PATIENCE) -> int:
        """Asks it to stop. Returns the exit code."""
        self.signal(number)
        return self.wait(seconds)
