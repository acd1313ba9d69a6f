"""The parent's own lines: in the daemon's log, and of the same look. (output.py, the daemon's, needs gevent.)"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from ztaskd import lastwords
from ztaskd.cli import LOG_FORMAT
from ztaskd.jsonlines import JsonLines
from ztaskd.notify import manager
from ztaskd.reload import sources
from ztaskd.reopening import Reopening

# Files named in a line.
NAMED = 3

logger = logging.getLogger("ztaskd")


class _File(Reopening):
    """The -f file. A full disk costs lines, never work."""

    def handleError(self, record: logging.LogRecord) -> None:
        pass


class _Console(logging.StreamHandler[Any]):
    """Standard output, where a reader that is gone costs lines, never work."""

    def handleError(self, record: logging.LogRecord) -> None:
        pass


def open_log(path: str | None, level: int, look: str) -> None:
    """`look`: text or json. Raises OSError when `path` cannot be written."""
    formatter = logging.Formatter(LOG_FORMAT)
    if look == "json":
        formatter = JsonLines(None)
        formatter.as_last_words()
    handler: logging.Handler = _File(path) if path else _Console(sys.stdout)
    handler.setFormatter(formatter)
    logger.addHandler(handler)
    logger.setLevel(level or 1)
    logger.propagate = False


def reopen() -> None:
    """USR2: the daemon says so."""
    for handler in logger.handlers:
        if isinstance(handler, _File):
            handler.reopen()


def use_node(name: str | None) -> None:
    """The node's name, which the daemon knows."""
    for handler in logger.handlers:
        if name is not None and isinstance(handler.formatter, JsonLines):
            handler.formatter.node = name


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
    lastwords.say(text)
