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
PATIENCE, LOOK = 3.0, 0.005

# The bytes at a ledger's end that hold its last line.
LINE = 200


def children(daemon: int) -> list[int]:
    """The process ids of a daemon's children; none when it is gone."""
    with contextlib.suppress(OSError):
        return [int(pid) for pid in Path(f"/proc/{daemon}/task/{daemon}/children").read_text().split()]
    return []


def is_alive(pid: int) -> bool:
    """(A zombie that waits for init is not.)"""
    return _state(pid) != "Z"


class Victim:
    """A child that signals reach for as long as it is there, and nobody else after that."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._fd = os.pidfd_open(pid)

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._fd, number)

    def close(self) -> None:
        os.close(self._fd)


def choose(daemon: int, ledgers: Callable[[], Sequence[Path]], which: int) -> Victim | None:
    """One that stands still (SIGSTOP) in the midst of a task, as far as its ledger tells; any, if none is caught for a
    while. None: there is none."""
    deadline = time.monotonic() + PATIENCE
    while True:
        found = children(daemon)
        first = which % len(found) if found else 0
        late = time.monotonic() > deadline
        for pid in found[first:] + found[:first]:
            if late or _runs(pid, ledgers()):
                with contextlib.suppress(ProcessLookupError):
                    victim = Victim(pid)
                    _stop(victim)
                    if late or _runs(pid, ledgers()):
                        return victim
                    victim.signal(signal.SIGCONT)
                    victim.close()
        if late:
            return None
        time.sleep(LOOK)


def _stop(victim: Victim) -> None:
    """Returns when it stands still, or is gone."""
    victim.signal(signal.SIGSTOP)
    while _state(victim.pid) not in "TZ":
        time.sleep(LOOK / 10)


def _state(pid: int) -> str:
    """The letter that `ps` shows; Z for one that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def _runs(pid: int, ledgers: Sequence[Path]) -> bool:
    """Whether the last line of its ledger is a start."""
    for path in ledgers:
        if path.suffix == f".{pid}":
            data = path.read_bytes()[-LINE:]
            return data[data.rstrip(b"\n").rfind(b"\n") + 1 :].startswith(b"S ")
    return False
