"""The parent's own lines: in the daemon's log, and of the same look. (output.py, the daemon's, needs gevent.)"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Collection
from contextlib import suppress
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import Any

from ztaskd.cli import LOG_FORMAT
from ztaskd.notify import manager
from ztaskd.reload import sources

# Files named in a line.
NAMED = 3

logger = logging.getLogger("ztaskd")


class _File(WatchedFileHandler):
    """The -f file. A full disk costs lines, never work."""

    def handleError(self, record: logging.LogRecord) -> None:
        pass


class _Console(logging.StreamHandler[Any]):
    """Standard output, where a reader that is gone costs lines, never work."""

    def handleError(self, record: logging.LogRecord) -> None:
        pass


def open_log(path: str | None, level: int) -> None:
    """Raises OSError when `path` cannot be written."""
    handler: logging.Handler
    if path:
        handler = _File(path, encoding="utf-8", errors="backslashreplace")
    else:
        handler = _Console(sys.stdout)
    handler.setFormatter(logging.Formatter(LOG_FORMAT))
    logger.addHandler(handler)
    logger.setLevel(level or 1)
    logger.propagate = False


def changed(paths: Collection[Path]) -> None:
    """Which files a reload is for."""
    names = sorted(sources.shown(path.name) for path in paths)
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    if names:
        logger.info("changed: %s%s", ", ".join(names[:NAMED]), more)


def use_zone(zone: str | None) -> None:
    """The daemon's lines are in the project's time zone: so are ours."""
    if zone is not None and os.environ.get("TZ") != zone:
        os.environ["TZ"] = zone
        time.tzset()


def to_terminal(text: str) -> None:
    """Why there is no daemon: to the terminal or the supervisor's log, and to the log file when that is open."""
    if any(isinstance(handler, _File) for handler in logger.handlers):
        logger.critical("%s", text)
    manager.failed(text)
    with suppress(OSError):
        os.write(2, f"ztaskd: {text}\n".encode("utf-8", "backslashreplace"))
