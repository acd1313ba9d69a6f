"""The words of explain.py: what is known of a task and its nodes (Evidence), and what is found by it (Finding)."""

from __future__ import annotations

from typing import Any

import msgspec

from django_ztask.pauses import Pause

# Seconds that two clocks may differ before somebody is told.
SKEW = 2.0


class Finding(msgspec.Struct, frozen=True):
    """One reason: `code` is a word for programs, `what` a sentence, `advice` what to do ("": nothing)."""

    code: str
    what: str
    advice: str = ""


class NodeSeen(msgspec.Struct, frozen=True):
    """A node of the journal's table. `left`: seconds its lease still runs. `answer`: of a ping, or None with the reason
    in `error` (one word: silence, stale, mac, refused; elsewhere: it has a lease on another host, and its address may
    not be reached from here). `held`: whether its boot's lock file is held, which its process does while it lives; None
    where there is no such file, as for a node on another host."""

    boot: str
    name: str
    host: str
    pid: int
    url: str
    version: str
    left: float
    answer: dict[str, Any] | None = None
    error: str = ""
    held: bool | None = None

    @property
    def is_alive(self) -> bool:
        return self.answer is not None or self.error in ("stale", "mac", "refused", "elsewhere")

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid} on {self.host}, {self.url})"


class Evidence(msgspec.Struct, kw_only=True):
    """A row, as looking.read has it, and what else there is to know. Times are epoch seconds.

    `key`: which of our keys made its MAC (0: SECRET_KEY, n: the nth of SECRET_KEY_FALLBACKS), None for none.
    `unknown`: why its task function cannot be found, or None. `ahead`: due tasks that start before it, where
    it is to run; `running`: those that run there. `pauses`: those in force. `free`: bytes on
    the disk of the journal, where it is this machine's. `skew`: seconds by which the database's clock is ahead."""

    row: dict[str, Any]
    now: float
    version: str
    nodes: list[NodeSeen] = []
    key: int | None = 0
    unknown: str | None = None
    allow_pickle: bool = True
    ahead: int = 0
    running: int = 0
    pauses: list[Pause] = []
    max_crashes: int = 3
    free: int | None = None
    headroom: int = 0
    skew: float = 0.0
    unapplied: list[str] = []

    @property
    def alive(self) -> list[NodeSeen]:
        return [node for node in self.nodes if node.is_alive]

    @property
    def due(self) -> float | None:
        due = self.row["next_attempt"]
        return float(due) if isinstance(due, int | float) and due == due else None

    @property
    def is_due(self) -> bool:
        return self.due is not None and self.due <= self.now


def apart(skew: float) -> str:
    return f"{duration(abs(skew))} {'ahead of' if skew > 0 else 'behind'}"


def first_line(text: Any) -> str:
    return next(iter(str(text or "").splitlines()), "")


def duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
