"""The daemon's child processes, as the nemesis sees them: which there are, which of them runs a task, and signals that
cannot meet another process.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

# Seconds for which a child that runs something is looked for, and between two looks.
PATIENCE, LOOK = 1.0, 0.005

# The bytes at a ledger's end that hold its last line.
LINE = 200


def children(daemon: int) -> list[int]:
    """The process ids of a daemon's children; none when it is gone."""
    with contextlib.suppress(OSError):
        return [int(pid) for pid in Path(f"/proc/{daemon}/task/{daemon}/children").read_text().split()]
    return []


def is_alive(pid: int) -> bool:
    """(A zombie that waits for init is not.)"""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Victim:
    """A child that signals reach for as long as it is there, and nobody else after that."""

    def __init__(self, pid: int) -> None:
        self._fd = os.pidfd_open(pid)

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._fd, number)

    def close(self) -> None:
        os.close(self._fd)


def choose(daemon: int, ledgers: Callable[[], Sequence[Path]], which: int) -> Victim | None:
    """One that runs a task, as far as its ledger tells; any, if none does for a while. None: there is none."""
    deadline = time.monotonic() + PATIENCE
    while True:
        found = children(daemon)
        busy = [pid for pid in found if _runs(pid, ledgers())]
        if busy or time.monotonic() > deadline:
            break
        time.sleep(LOOK)
    chosen = busy or found
    with contextlib.suppress(ProcessLookupError):
        return Victim(chosen[which % len(chosen)]) if chosen else None
    return None


def _runs(pid: int, ledgers: Sequence[Path]) -> bool:
    """Whether the last line of its ledger is a start."""
    for path in ledgers:
        if path.suffix == f".{pid}":
            data = path.read_bytes()[-LINE:]
            return data[data.rstrip(b"\n").rfind(b"\n") + 1 :].startswith(b"S ")
    return False
