"""Lines straight to the log's descriptor, from a thread that must not wait for the hub: logging takes locks that a
task may hold which does not let the hub turn.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

from ztaskd.gathering import Formatter, Gathering
from ztaskd.output import Output, standard


class Straight:
    """Writes as the log's own handler would. `fd`: where the log goes; a rotated log is followed."""

    def __init__(self, fd: int | None = None) -> None:
        if fd is None:
            standard.keep()
            fd = standard.duplicate(1)
        self._output = Output(fd)
        self._logger = logging.getLogger("ztaskd")
        ours = [handler.look for handler in self._logger.handlers if isinstance(handler, Gathering)]
        self._look = ours[0] if ours else Formatter()

    def write(
        self, level: int, text: str, what: Mapping[str, Any] | None = None, *, always: bool = False
    ) -> None:
        """One entry, and what it is about, unless the log leaves out its level (and not `always`)."""
        if level < self._logger.level and not always:
            return
        self._output.write(f"{self._look.line(time.time(), logging.getLevelName(level), text, what)}\n")
