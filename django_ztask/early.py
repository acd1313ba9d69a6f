"""The message goes out while the disk syncs: BEGIN, INSERT, message, COMMIT.

On SQLite a claim needs the write lock, which the caller holds from its BEGIN to the end of its COMMIT: so a node that
hears of the row meanwhile can neither claim it nor look in vain. It wakes up during the sync, and claims right after
it. Should the COMMIT fail, the message names a row that does not exist: harmless, as every message is.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial
from typing import Any

from django_ztask import crashpoints, journal, patience, transport
from django_ztask.announcement import Announcement


def is_possible(connection: Any) -> bool:
    """Only when the message has nothing to wait for, and only while there is no other thread: each step of SQLite's
    lets go of the interpreter's lock, and a busy thread keeps that for 5 ms, while we would hold SQLite's."""
    return connection.vendor == "sqlite" and threading.active_count() == 1 and transport.is_connected()


def insert(connection: Any, values: Sequence[tuple[Any, ...]], announcement: Announcement) -> bool:
    """journal.insert in a transaction of its own, announced before it is committed. False when another connection
    holds the lock: among many callers, each is to hold it for as short as can be."""
    connection.ensure_connection()
    raw = connection.connection
    try:
        if not patience.at_once(connection, partial(_execute, connection, raw, "BEGIN IMMEDIATE")):
            return False
        journal.insert(connection, values)
        announcement()
        crashpoints.reach("caller-message-early")
        _execute(connection, raw, "COMMIT")
        return True
    except BaseException:
        _roll_back(connection, raw)
        raise


def _execute(connection: Any, raw: Any, text: str) -> None:
    with connection.wrap_database_errors:
        raw.execute(text)


def _roll_back(connection: Any, raw: Any) -> None:
    """Never leaves a transaction open of which Django knows nothing."""
    try:
        if connection.connection is raw and raw.in_transaction:
            raw.execute("ROLLBACK")
    except BaseException:
        connection.close()
        raise
