"""How often the log says the same: whoever makes trouble makes much of it. Counts what is left out."""

from __future__ import annotations

import logging
import time
from typing import Any

# Seconds between two lines about the same trouble.
QUIET = 1.0

# Kinds that are remembered at a time.
KINDS = 1000


class Kinds:
    """One line of a kind in QUIET seconds."""

    def __init__(self) -> None:
        self.next: dict[str, float] = {}
        self._left_out: dict[str, int] = {}

    def left_out(self, kind: str) -> int | None:
        """How many were left out since the last line of its kind. None: this one is to be left out, too."""
        now = time.monotonic()
        if now < self.next.get(kind, 0.0):
            self._left_out[kind] = self._left_out.get(kind, 0) + 1
            return None
        if len(self.next) > KINDS:
            self.next.clear()
            self._left_out.clear()
        self.next[kind] = now + QUIET
        return self._left_out.pop(kind, 0)


class Quiet:
    """One line in so many seconds."""

    def __init__(self, logger: logging.Logger, level: int, text: str, seconds: float = QUIET) -> None:
        self.logger = logger
        self.level = level
        self.text = text
        self.seconds = seconds
        self.next = 0.0
        self.left_out = 0

    def __call__(self, **fields: Any) -> None:
        now = time.monotonic()
        if now < self.next:
            self.left_out += 1
            return
        self.logger.log(self.level, "%s%s", self.text.format(**fields), more(self.left_out))
        self.next, self.left_out = now + self.seconds, 0

    def reset(self) -> None:
        """What comes next is said at once."""
        self.next, self.left_out = 0.0, 0


def more(left_out: int) -> str:
    """The end of a line that stands for others."""
    return f" ({left_out} more like it)" if left_out else ""
