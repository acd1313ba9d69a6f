"""Lines straight to the log's descriptor, from a thread that must not wait for the hub: logging takes locks that a
task may hold which does not let the hub turn.
"""

from __future__ import annotations

import logging
import time

from ztaskd.output import Output, standard


class Straight:
    """Writes as the log's own handler would. `fd`: where the log goes; a rotated log is followed."""

    def __init__(self, fd: int | None = None) -> None:
        if fd is None:
            standard.keep()
            fd = standard.duplicate(1)
        self._output = Output(fd)
        self._logger = logging.getLogger("ztaskd")

    def write(self, level: int, text: str, always: bool = False) -> None:
        """One entry, unless the log leaves out its level (and not `always`)."""
        if level < self._logger.level and not always:
            return
        now = time.time()
        clock = time.strftime(logging.Formatter.default_time_format, time.localtime(now))
        name = logging.getLevelName(level)
        self._output.write(f"{clock},{int(now % 1 * 1000):03d} ztaskd {name} {text}\n")
