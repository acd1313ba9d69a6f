"""A commit on SQLite is synced after it has let go of the lock: others write meanwhile, and a node claims the task.

With synchronous=FULL, SQLite syncs its write-ahead log inside of COMMIT, and nobody else can write until the disk is done. A
commit with NORMAL leaves the same bytes in the log, for all to see; and to sync a file syncs what anybody has written to it. (With
four processes calling: p99 of a raw INSERT 30 ms and 2 ms.)
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from django.db import OperationalError

# Returns when what was committed is on disk. Raises OperationalError: nobody knows whether it is.
Sync = Callable[[], None]

OFF, NORMAL = 0, 1  # of PRAGMA synchronous


def nothing() -> None:
    """There is nothing to wait for."""


class Ways:
    """How a connection waits for SQLite's lock and syncs what it commits, by its own settings; and what we have it do instead:
    `waiting` by our pauses, and `unsynced` until `sync`."""

    def __init__(self, timeout: int, level: int = OFF, log: str = "") -> None:
        """`timeout` in milliseconds. Where `log`, its write-ahead log, cannot be opened, it syncs by itself."""
        self.timeout = timeout / 1000
        self.sync: Sync = nothing
        self.waiting = "PRAGMA busy_timeout = 0", f"PRAGMA busy_timeout = {timeout}"
        self.unsynced = self.waiting
        self._log = -1
        if level > NORMAL and hasattr(os, "fdatasync"):
            with suppress(OSError):
                self._log = os.open(log, os.O_RDONLY | os.O_CLOEXEC)
                self.sync = self._sync
                ours, theirs = self.waiting
                self.unsynced = f"{ours}; PRAGMA synchronous = {NORMAL}", f"{theirs}; PRAGMA synchronous = {level}"

    def _sync(self) -> None:
        try:
            os.fdatasync(self._log)
        except OSError as error:
            raise OperationalError(f"the write-ahead log could not be synced: {error}") from error

    def __del__(self) -> None:
        if self._log >= 0:
            os.close(self._log)


def ways_of(raw: Any) -> Ways | None:
    """Those of SQLite's own connection. None: it has no write-ahead log (then a commit also waits for readers), or it does
    not wait."""
    if raw.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        return None
    timeout = raw.execute("PRAGMA busy_timeout").fetchone()[0]
    level = raw.execute("PRAGMA synchronous").fetchone()[0]
    path = raw.execute("PRAGMA database_list").fetchone()[2]
    return Ways(timeout, level, f"{path}-wal") if timeout else None
