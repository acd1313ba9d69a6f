"""What can be asked of a caller's connection, and how it waits for SQLite's lock: by short sleeps of our own.

SQLite itself sleeps for 1 ms, then 2, 5, 10, ... 100: beside a daemon that takes the lock a thousand times a
second, a caller would starve.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from django.db import OperationalError

from django_ztask.conf import read
from django_ztask.syncing import Sync, Ways, nothing, ways_of

# Seconds between two attempts to get the lock: the first pause, by what each is longer, the longest.
FIRST, GROWTH, LONGEST = 0.0001, 1.5, 0.005

BUSY, BUSY_SNAPSHOT = 5, 517  # SQLite's codes


def is_free(connection: Any) -> bool:
    """True when no transaction is open, neither one of Django's nor one begun by hand in SQL."""
    if connection.in_atomic_block or not connection.get_autocommit():
        return False
    return not is_open(connection)


def is_open(connection: Any) -> bool:
    """True when a transaction was begun by hand, in SQL, on a connection that is there."""
    if connection.vendor == "sqlite":
        return bool(connection.connection.in_transaction)
    return int(connection.connection.info.transaction_status) != 0


def is_watched(connection: Any) -> bool:
    """True when somebody looks at this connection's statements: each is then to be seen once, on it."""
    return bool(
        connection.execute_wrappers
        or connection.force_debug_cursor
        or read("DEBUG")
        or is_replaced(connection)
    )


def is_replaced(connection: Any) -> bool:
    """True when somebody has put his own `cursor` in place: a debugging tool, or Django's SimpleTestCase, to refuse
    the database. (What that leaves behind afterwards is the connection's own method.)"""
    own = vars(connection).get("cursor")
    return own is not None and getattr(own, "__func__", None) is not type(connection).cursor


def patiently(connection: Any, write: Callable[[], None]) -> None:
    """Writes, and tries again while another connection holds SQLite's lock: for as long as this connection waits
    by its own settings. Then raises the OperationalError.

    In a transaction, and under somebody's eyes, it is left to the settings (in a node, a slot's connection waits
    without stopping the others)."""
    if (
        connection.vendor != "sqlite"
        or is_watched(connection)
        or not is_free(connection)
        or (ways := _ways_of(connection)) is None
    ):
        write()
    else:
        _wait(connection, write, time.monotonic() + ways.timeout, ways.waiting)


def committed(connection: Any, write: Callable[[], None], began: float) -> Sync:
    """As `patiently`, for a connection to SQLite that is open, in no transaction, and at which nobody looks: what it has
    written is there for all, and on disk when the result has been called. It waits from `began` on (monotonic)."""
    ways = _ways_of(connection)
    if ways is None:
        write()
        return nothing
    _wait(connection, write, began + ways.timeout, ways.unsynced)
    return ways.sync


def _wait(connection: Any, write: Callable[[], None], deadline: float, settings: tuple[str, str]) -> None:
    """`settings`: statements that the connection is set with, and set back with."""
    raw, pause = connection.connection, FIRST
    ours, theirs = settings
    try:
        raw.executescript(ours)
        while True:
            try:
                return write()
            except OperationalError as error:
                if not is_busy(error) or time.monotonic() >= deadline:
                    raise
            time.sleep(pause)
            pause = min(GROWTH * pause, LONGEST)
    finally:
        if connection.connection is raw:
            raw.executescript(theirs)


def _ways_of(connection: Any) -> Ways | None:
    raw = connection.connection
    known, ways = getattr(connection, "_ztaskd_ways", (None, None))
    if known is not raw:
        with connection.wrap_database_errors:
            ways = ways_of(raw)
        connection._ztaskd_ways = raw, ways
    return ways


def is_busy(error: Exception) -> bool:
    """True when an OperationalError says that another connection holds SQLite's lock.
    (Not for one that has read what was changed since: that does not pass.)"""
    code = getattr(error.__cause__ or error, "sqlite_errorcode", None)
    if code is None:
        return "database is locked" in str(error)
    return code & 0xFF == BUSY and code != BUSY_SNAPSHOT
