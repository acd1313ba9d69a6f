"""The committer's connection: opened in its thread, relaxed syncing, waiting for SQLite's lock."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from django.db import InterfaceError, OperationalError, connections, transaction
from gevent import monkey

sleep = monkey.get_original("time", "sleep")

# Seconds between two attempts to get SQLite's lock. SQLite's own wait backs off to 100 ms, and starved
# the committer for seconds beside a caller that writes all the time.
LOCK_POLL = 0.0003

# Seconds of waiting for the lock before it is reported (and then waited for again).
LOCK_PATIENCE = 5.0


# The lock is left free for at least the first, and for as long as it was held (seconds): back to back,
# commits starved sixteen callers (p99 3 s); with the pause it was 54 ms. But no longer than the second.
DOOR_OPEN, DOOR_OPEN_MOST = 0.001, 0.05


class Storage:
    """One Django connection of the committer's thread. Callers' connections keep their own settings."""

    unavailable = (OperationalError, InterfaceError)

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self._held = 0.0

    def open(self) -> None:
        self.connection()

    def connection(self) -> Any:
        connection: Any = connections[self.alias]
        if connection.connection is None:
            connection.connect()
            connection.transaction_mode = "IMMEDIATE"
            self._pragma("busy_timeout = 0")
            self._pragma("synchronous = NORMAL")
        return connection

    def close(self) -> None:
        connections[self.alias].close()

    @contextmanager
    def transaction(self, full: bool) -> Iterator[Any]:
        """A transaction that holds SQLite's lock from its first statement; `full`: synced to disk when it
        ends. Raises OperationalError when the lock was not to be had for LOCK_PATIENCE seconds."""
        connection = self.connection()
        if full:
            self._pragma("synchronous = FULL")
        try:
            with ExitStack() as stack:
                stack.push(self._begin())
                began = time.monotonic()
                yield connection
            self._held = time.monotonic() - began
        finally:
            if full and connection.connection is not None:
                self._pragma("synchronous = NORMAL")

    def door_open(self) -> float:
        """Seconds to leave the lock to others after what was done since this was last asked."""
        held, self._held = self._held, 0.0
        return min(max(held, DOOR_OPEN), DOOR_OPEN_MOST)

    def touch(self, connection: Any, boot: str) -> None:
        """The smallest write there is."""
        with connection.cursor() as cursor:
            cursor.execute("UPDATE django_ztask_node SET lease = lease WHERE boot = %s", [boot])

    def _begin(self) -> Any:
        """An entered `atomic`, however long another process holds the lock (up to LOCK_PATIENCE)."""
        atomic = transaction.atomic(using=self.alias)
        deadline = time.monotonic() + LOCK_PATIENCE
        while True:
            try:
                atomic.__enter__()
            except OperationalError as error:
                if not is_locked(error) or time.monotonic() >= deadline:
                    raise
                sleep(LOCK_POLL)
            else:
                return atomic

    def _pragma(self, text: str) -> None:
        connections[self.alias].connection.execute(f"PRAGMA {text}")


def is_locked(error: OperationalError) -> bool:
    """True when SQLite says that another connection holds the lock."""
    return "locked" in str(error)
