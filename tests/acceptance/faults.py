"""Real faults for a running daemon: a small disk, system calls that fail, SQLite's lock in other hands."""

from __future__ import annotations

import contextlib
import functools
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.daemon import Daemon, wait_for
from tests.acceptance.postgres_site import PostgresSite
from tests.acceptance.site import Site

MOUNT = ["mount", "-t", "tmpfs", "-o"]


@contextlib.contextmanager
def lock_held(database: Path) -> Iterator[None]:
    """SQLite's write lock, held by this process."""
    with contextlib.closing(sqlite3.connect(database, timeout=20, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            other.execute("ROLLBACK")


def longest_gap(site: Site) -> float:
    """Seconds between two ticks."""
    times = [float(line[1]) for line in site.ledger if line[0] == "tick"]
    return max(later - earlier for earlier, later in pairwise(times))


class ServerLog:
    """What the server says from now on: the daemon's own log leaves most of its complaints out."""

    def __init__(self, site: PostgresSite) -> None:
        self.path = site.made.server.folder / "log"
        self.start = self.path.stat().st_size

    def count(self, text: str) -> int:
        return self.path.read_bytes()[self.start :].count(text.encode())

    def says(self, text: str) -> None:
        wait_for(lambda: self.count(text) > 0, f"{text} in the server's log")


class Held:
    """Running tasks that end when the test says so; each leaves a mark."""

    def __init__(self, site: Site, count: int = 1) -> None:
        self.site = site
        self.gate = site.folder / "gate"
        code = f"show([gated.async_(f'held-{{n}}', {str(self.gate)!r}).id for n in range({count})])"
        self.ids: list[str] = site.call(code)
        site.wait_count(count, status="RUNNING")

    def let_go(self) -> None:
        """They end now; waits for their marks."""
        self.gate.touch()
        words = {f"held-{n}" for n in range(len(self.ids))}
        wait_for(lambda: words <= set(self.site.marks()), "the held tasks")

    def unharmed(self, *others: str) -> None:
        """Waits until they (and `others`) have succeeded: one attempt each, run once, nothing charged."""
        for task_id in (*self.ids, *others):
            row = self.site.wait_status(task_id, "SUCCEEDED")
            assert settled(row) == (1, 0, 0, 0), row
        marks = self.site.marks()
        assert len(marks) == len(set(marks))


def settled(row: dict[str, Any]) -> tuple[int, int, int, int]:
    return row["attempts"], row["failures"], row["crashes"], row["interruptions"]


def degraded_lines(daemon: Daemon) -> list[str]:
    return [line for line in daemon.log.splitlines() if "degraded: " in line]


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int = 16) -> Iterator[Path]:
    """A file system of its own. The test is skipped where it cannot be mounted."""
    folder.mkdir()
    made = subprocess.run(
        [*MOUNT, f"size={megabytes}m", "none", folder], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"no file system can be mounted here: {made.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def remount(folder: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", folder], check=True, capture_output=True)


def fill(folder: Path) -> Path:
    """A file that takes all the room there is."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        for size in (1 << 16, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)):
                    pass
    return path


@functools.cache
def _why_no_strace() -> str:
    """Empty when another process can be traced."""
    if shutil.which("strace") is None:
        return "there is no strace"
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        tracer = ["timeout", "-s", "INT", "0.2", "strace", "-qq", "-p", str(other.pid)]
        done = subprocess.run(tracer, capture_output=True, text=True, check=False)
        other.communicate(b"\n")
    return f"strace: {done.stderr.strip()}" if "attach" in done.stderr else ""


def need_strace() -> None:
    if _why_no_strace():
        pytest.skip(_why_no_strace())


@contextlib.contextmanager
def injected(program: Daemon, calls: str, fault: str) -> Iterator[None]:
    """Every one of these system `calls` of the process has this `fault`, in strace's words."""
    need_strace()
    told = program.output.with_suffix(".strace")
    command = [
        "strace",
        "-f",
        "-p",
        str(program.pid),
        "-e",
        f"trace={calls}",
        "-e",
        f"inject={calls}:{fault}",
    ]
    with told.open("wb") as file, subprocess.Popen(command, stderr=file) as tracer:
        try:
            threads = Path(f"/proc/{program.pid}/task")
            wait_for(lambda: told.read_text().count("attached") and _traced(threads, tracer.pid), "strace")
            yield
        finally:
            tracer.send_signal(signal.SIGINT)


def _traced(threads: Path, tracer: int) -> bool:
    """True when every thread is."""
    said = f"TracerPid:\t{tracer}\n"
    return all(said in (thread / "status").read_text() for thread in threads.iterdir())


def with_few_files(program: list[str], files: int) -> list[str]:
    """The same program, which may open no more than so many files."""
    return ["sh", "-c", f'ulimit -n {files}; exec "$@"', "sh", *program]
