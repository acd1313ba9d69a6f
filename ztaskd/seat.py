"""What only one node of a name can have: its lock and its address. Taken at once; what the daemon that we are to
replace still has is taken when it has let go.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ztaskd import locks
from ztaskd.addresses import AddressInUse
from ztaskd.cli import Exit
from ztaskd.project import Refusal

ADVICE = "Stop it, or give this project another ZTASKD_URL (5555 is also Flower's port)."


class Seat:
    """`predecessor`: the process id and the URL of the daemon that we are to replace. Raises Refusal when the lock
    files cannot be made."""

    def __init__(self, journal: Any, name: str, predecessor: Mapping[str, Any] | None) -> None:
        try:
            self.folder: Path = locks.folder_for(journal)
        except OSError as error:
            raise _no_files(error) from None
        self.name = name
        self._lock = locks.LockFile(self.folder / f"node-{name}.lock")
        self._predecessor = predecessor or {}
        self._left: list[Callable[[], None]] = []

    def take(self, url: str, bind: Callable[[], None]) -> None:
        """What is free. Raises Refusal when somebody else has it."""
        steps = [self._take_lock, lambda: _take_address(bind)]
        if url == self._predecessor.get("url"):  # (to find out who has it takes longer)
            self._left.append(steps.pop())
        for step in steps:
            try:
                step()
            except Held as held:
                if held.pid is None or held.pid != self._predecessor.get("pid"):
                    raise
                self._left.append(step)

    def take_rest(self) -> None:
        """What the predecessor has let go of."""
        for step in self._left:
            step()

    def leave(self) -> None:
        """Gives the lock away. Twice is fine."""
        self._lock.release()

    def _take_lock(self) -> None:
        try:
            if self._lock.acquire(f"pid {os.getpid()}"):
                return
        except OSError as error:
            raise _no_files(error) from None
        holder = self._lock.holder()
        raise Held(
            f"a daemon of this project runs already: {holder} (node {self.name!r}). Stop it first", holder
        )


class Held(Refusal):
    """By `holder`, who begins with `pid N` when that is known."""

    def __init__(self, reason: str, holder: str) -> None:
        super().__init__(Exit.ADDRESS_IN_USE, reason)
        number = holder.removeprefix("pid ").split(" ")[0]
        self.pid = int(number) if number.isdecimal() else None


def _take_address(bind: Callable[[], None]) -> None:
    try:
        bind()
    except AddressInUse as error:
        raise Held(f"{error}. {ADVICE}", error.holder) from None


def _no_files(error: OSError) -> Refusal:
    return Refusal(Exit.DATABASE, f"the lock files cannot be made: {error}")
