"""The evidence that tasks leave: a line "number monotonic_ns" for each start, and for each end of one that sleeps.

One os.write to a file opened with O_APPEND for each line, all of the same width: so a file's size tells how many
there are, and watching them costs the run nothing.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable
from pathlib import Path

FOLDER = "BENCH_EVIDENCE"
LINE = 8 + 1 + 20 + 1

# Seconds without a new line after which nothing more is expected.
STALL = 30.0


class Failed(Exception):
    """A run that gives no figure: tasks were lost, repeated or failed, or a process ended."""


@functools.cache
def _opened(name: str) -> int:
    path = os.path.join(os.environ[FOLDER], name)
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)


def write(name: str, number: int) -> None:
    """A line in the file `name` of this run."""
    os.write(_opened(name), b"%08d %020d\n" % (number, time.monotonic_ns()))


class Evidence:
    """One such file, as the harness sees it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def lines(self) -> int:
        return self.path.stat().st_size // LINE if self.path.exists() else 0

    def wait(self, lines: int, alive: Callable[[], None], stall: float = STALL) -> None:
        """Until there are so many. Raises Failed when nothing moves for `stall` seconds; `alive` may raise."""
        seen, moved = self.lines, time.monotonic()
        while seen < lines:
            time.sleep(0.01)
            alive()
            now, seen_before, seen = time.monotonic(), seen, self.lines
            if seen > seen_before:
                moved = now
            if now > moved + stall:
                raise Failed(f"{seen} of {lines} lines in {self.path.name}, and no more for {stall:g} s")

    def read(self) -> dict[int, int]:
        """number -> monotonic ns. Raises Failed when a number is there twice."""
        found: dict[int, int] = {}
        if self.path.exists():
            for line in self.path.read_bytes().splitlines():
                number = int(line[:8])
                if number in found:
                    raise Failed(f"task {number} has two lines in {self.path.name}")
                found[number] = int(line[9:])
        return found
