"""What the reloader needs around it: a loop that waits for descriptors, and who watches the files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol


class Loop(Protocol):
    """Calls back when a descriptor or socket is readable."""

    def listen(self, file: Any, callback: Callable[[], None]) -> None: ...

    def unlisten(self, file: Any) -> None: ...


class Watching(Protocol):
    def watch(self, folders: list[Path], files: list[Path]) -> None: ...

    def take(self) -> frozenset[Path]: ...
