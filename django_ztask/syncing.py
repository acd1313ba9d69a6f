"""A commit on SQLite is synced after it has let go of the lock: others write meanwhile, and a node claims the task.

With synchronous=FULL, SQLite syncs its write-ahead log inside of COMMIT, and nobody else can write until the disk is done. A
commit with NORMAL leaves the same bytes in the log, for all to see; and to sync a file syncs what anybody has written to it. (With
four processes calling: p99 of a raw INSERT 30 ms and 2 ms.)
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from django.db import OperationalError

# Returns when what was committed is on disk. Raises OperationalError: nobody knows whether it is.
Sync = Callable[[], None]

OFF, NORMAL = 0, 1  # of PRAGMA synchronous


def nothing() -> None:
    """There is nothing to wait for."""


class Log:
    """A write-ahead log, opened to be synced."""

    def __init__(self, path: str) -> None:
        self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self.descriptor)

    def is_at(self, path: str) -> bool:
        """False when it is another file by now: the last connection to leave removes it."""
        return os.path.samestat(os.fstat(self.descriptor), os.stat(path))

    def sync(self) -> None:
        """As a `Sync`."""
        try:
            os.fdatasync(self.descriptor)
        except OSError as error:
            raise OperationalError(f"the write-ahead log could not be synced: {error}") from error


# By their paths: the connections of a process share one, which stays the right one for as long as one of them is open.
_logs: dict[str, Log] = {}

# Logs that are kept open, the latest ones. (Who has more databases, a test run perhaps, opens them anew.)
MOST = 8


def _log(path: str) -> Log | None:
    """None where it cannot be opened, or not be synced so."""
    if not hasattr(os, "fdatasync"):
        return None
    with suppress(OSError):
        found = _logs.get(path)
        if found is None or not found.is_at(path):
            found = Log(path)
            _logs.pop(path, None)
            _logs[path] = found
            for old in list(_logs)[:-MOST]:
                _logs.pop(old, None)
        return found
    return None


class Ways:
    """How a connection waits for SQLite's lock and syncs what it commits, by its own settings; and what we have it do instead:
    `waiting` by our pauses, and `unsynced` until `sync`. Each is a text to set it with, and one to set it back with."""

    def __init__(self, timeout: int, level: int, path: str | None) -> None:
        """`timeout` in milliseconds. Without the path of a log, it syncs by itself."""
        ours, theirs = "PRAGMA busy_timeout = 0", f"PRAGMA busy_timeout = {timeout}"
        self.timeout = timeout / 1000
        self.waiting = self.unsynced = ours, theirs
        self._path = path
        if path is not None:
            self.unsynced = (
                f"{ours}; PRAGMA synchronous = {NORMAL}",
                f"{theirs}; PRAGMA synchronous = {level}",
            )

    def sync(self) -> None:
        """As a `Sync`."""
        if self._path is not None:
            log = _logs.get(self._path) or _log(self._path)
            if log is None:
                raise OperationalError(f"the write-ahead log {self._path} could not be opened to be synced")
            log.sync()


def ways_of(raw: Any) -> Ways | None:
    """Those of SQLite's own connection. None: it has no write-ahead log (then a commit also waits for readers), or it does
    not wait."""
    if raw.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        return None
    timeout = raw.execute("PRAGMA busy_timeout").fetchone()[0]
    level = raw.execute("PRAGMA synchronous").fetchone()[0]
    path = raw.execute("PRAGMA database_list").fetchone()[2] + "-wal"
    return Ways(timeout, level, path if level > NORMAL and _log(path) else None) if timeout else None
