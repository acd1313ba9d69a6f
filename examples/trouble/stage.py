"""The stage of scripts/trouble: a folder with a shop, a daemon, and a terminal in which an operator types. Everything
that is typed is checked: WentOtherwise tells which step did not show what it should.
"""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Self

HERE = Path(__file__).resolve().parent

# The operator's terminal: so many lines.
LINES = 24

# Seconds in which what is waited for must have come; far more than it needs.
PATIENCE = 120.0

# What steers a terminal, and shows nothing.
STEERING = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|[\x07\x0f]")


class WentOtherwise(Exception):
    """A step did not show what it should."""


class Stage:
    """Gone at the end, with all its processes; kept when something went otherwise."""

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.folder = Path(tempfile.mkdtemp(prefix="shop-"))
        shutil.copytree(HERE / "site", self.folder, dirs_exist_ok=True)
        (self.folder / "run").mkdir()
        self.port = _free_port()
        (self.folder / "mail.port").write_text(str(self.port))
        self.log = self.folder / "ztaskd.log"
        kept = {name: v for name, v in os.environ.items() if not name.startswith(("DJANGO_", "ZTASKD_"))}
        bin_folder = os.path.dirname(sys.executable)
        self.env = {
            **kept,
            "PATH": f"{bin_folder}{os.pathsep}{kept.get('PATH', os.defpath)}",
            "TERM": "xterm",
            "TZ": "UTC",
        }
        self.env.pop("COLUMNS", None)
        self.env.pop("LINES", None)
        self._running: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: Any, *rest: Any) -> None:
        for process in self._running:
            process.kill()
            process.wait()
        if kind is None:
            shutil.rmtree(self.folder)
        else:
            print(f"(the shop's folder is kept: {self.folder})", file=sys.stderr)

    # -- what the operator sees ---------------------------------------------------------------------

    def says(self, *lines: str) -> None:
        """What happens, for who reads the transcript."""
        print("", *(f"# {line}" for line in lines), sep="\n", flush=True)

    def types(self, line: str, *shows: str, code: int = 0) -> str:
        """Runs a shell's `line` in the terminal. Each of `shows` is a pattern that must be found in what comes back."""
        print(f"$ {line}", flush=True)
        shown, got = self._in_terminal(["bash", "-c", line])
        print(shown, end="", flush=True)
        if got:
            print(f"(exit code {got})", flush=True)
        words = " ".join(shown.split())
        missing = [pattern for pattern in shows if not re.search(pattern, words, re.IGNORECASE)]
        if got != code or missing:
            raise WentOtherwise(f"`{line}` ended with {got}, not {code}, or does not show: {missing}")
        return shown

    def watches(self, *shows: str) -> None:
        """`ztaskd top`, left as soon as a picture shows all that."""
        print("$ ztaskd top", flush=True)
        picture = ""

        def look(text: str) -> bool:
            nonlocal picture
            picture = text.rpartition("\x1b[H")[2]
            return all(re.search(pattern, _plain(picture)) for pattern in shows)

        _, got = self._in_terminal(["bash", "-c", "ztaskd top"], look)
        print(_plain(picture).rstrip(), flush=True)
        if got:
            raise WentOtherwise(f"`ztaskd top` ended with {got}")

    def _in_terminal(
        self, command: list[str], enough: Callable[[str], bool] | None = None
    ) -> tuple[str, int]:
        """What it shows, and its exit code. `enough`: whether to leave it, by q."""
        master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (LINES, self.columns))
        process = subprocess.Popen(
            command, cwd=self.folder, env=self.env, stdin=slave, stdout=slave, stderr=slave
        )
        self._running.append(process)
        os.close(slave)
        text, began, left = b"", time.monotonic(), False
        with suppress(OSError):  # (its end)
            while True:
                if time.monotonic() > began + PATIENCE:
                    raise WentOtherwise(f"{command[-1]} goes on for {PATIENCE:g} s: {text!r}")
                if not select.select([master], [], [], 1.0)[0]:
                    continue
                if not (chunk := os.read(master, 65536)):
                    break
                text += chunk
                if enough is not None and not left and enough(text.decode(errors="replace")):
                    left = True
                    os.write(master, b"q")
        os.close(master)
        return _plain(text.decode(errors="replace")), process.wait()

    # -- what happens around him --------------------------------------------------------------------

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """A process in the background. The first line that it prints says that it is there."""
        process = subprocess.Popen(command, cwd=self.folder, env=self.env, stdout=subprocess.PIPE)
        self._running.append(process)
        if not process.stdout or not process.stdout.readline():
            raise WentOtherwise(f"{command} did not start")
        return process

    def end(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait()

    def starts_daemon(self) -> subprocess.Popen[bytes]:
        """As a supervisor does it."""
        before = self.count_log(" ready in ")
        command = "ztaskd --noreload -f ztaskd.log --pidfile ztaskd.pid"
        print(f"$ {command} &", flush=True)
        process = subprocess.Popen(
            command.split(), cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL, start_new_session=True
        )
        self._running.append(process)
        self.until(lambda: self.count_log(" ready in ") > before, "the daemon is ready")
        return process

    def calls(self, code: str) -> None:
        """Python in a process of the shop, as a view would run it."""
        command = [sys.executable, "manage.py", "shell", "-v0", "-c", f"from shop.tasks import *\n{code}"]
        done = subprocess.run(command, cwd=self.folder, env=self.env, capture_output=True, check=False)
        if done.returncode:
            raise WentOtherwise(f"{code} ended with {done.returncode}: {done.stderr.decode()}")

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        """Its first true value."""
        deadline = time.monotonic() + PATIENCE
        while not (value := condition()):
            if time.monotonic() > deadline:
                raise WentOtherwise(f"waited {PATIENCE:g} s in vain for: {what}")
            time.sleep(0.05)
        return value

    def count_log(self, words: str) -> int:
        return self.log.read_text(errors="replace").count(words) if self.log.exists() else 0

    def ids(self, function: str, status: str) -> list[str]:
        """Of the tasks in that state, the oldest call first."""
        with closing(sqlite3.connect(self.folder / "db.sqlite3", timeout=20)) as journal:
            found = journal.execute(
                "SELECT uuid FROM django_ztask_task WHERE function_name LIKE ? AND status = ? ORDER BY uuid",
                [f"shop.tasks.{function}", status],
            )
            return [row[0] for row in found]


def _plain(text: str) -> str:
    """What stands there in the end: of a line that was written over, the last."""
    lines = STEERING.sub("", text).replace("\r\n", "\n").split("\n")
    return "\n".join(line.rpartition("\r")[2].rstrip() for line in lines)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
