"""The ledgers: what clients and tasks write down outside the journal, and how it is read back.

One file for each process: a line that a kill -9 tears is the last one of its file, and does not count.
Clients: `I token`, `O token id`, `E token error`, `R token`. Tasks: `S token id attempt boot wall monotonic_ns`
and `F token id attempt wall monotonic_ns`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path


class Ledger:
    """The writing end. Each `write` is one system call."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def write(self, lines: Iterable[str]) -> None:
        os.write(self._fd, "".join(f"{line}\n" for line in lines).encode())


@dataclass(slots=True)
class Calls:
    """What the clients say."""

    invoked: set[str] = field(default_factory=set)
    told: dict[str, str] = field(default_factory=dict)  # token -> the id that the call returned
    errors: dict[str, str] = field(default_factory=dict)
    rolled_back: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Start:
    token: str
    id: str
    attempt: int
    boot: str
    wall: float
    moment: float  # seconds on the machine's monotonic clock


@dataclass(frozen=True, slots=True)
class End:
    token: str
    id: str
    attempt: int
    wall: float
    moment: float


def lines(path: Path) -> Iterator[list[str]]:
    """The words of each whole line."""
    if not path.exists():
        return
    *whole, _torn = path.read_text().split("\n")
    for line in whole:
        yield line.split(" ")


def calls(paths: Iterable[Path]) -> Calls:
    """Raises ValueError for a line that no client writes."""
    found = Calls()
    for path in paths:
        for words in lines(path):
            if words[0] == "I":
                found.invoked.add(words[1])
            elif words[0] == "O":
                found.told[words[1]] = words[2]
            elif words[0] == "E":
                found.errors[words[1]] = words[2]
            elif words[0] == "R":
                found.rolled_back.add(words[1])
            else:
                raise ValueError(f"{path}: {words}")
    return found


def executions(paths: Iterable[Path]) -> tuple[list[Start], list[End]]:
    """Raises ValueError for a line that no task writes."""
    starts, ends = [], []
    for path in paths:
        for words in lines(path):
            if words[0] == "S":
                _, token, task_id, attempt, boot, wall, moment = words
                starts.append(Start(token, task_id, int(attempt), boot, float(wall), int(moment) / 1e9))
            elif words[0] == "F":
                _, token, task_id, attempt, wall, moment = words
                ends.append(End(token, task_id, int(attempt), float(wall), int(moment) / 1e9))
            else:
                raise ValueError(f"{path}: {words}")
    return starts, ends
