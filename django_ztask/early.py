"""The message goes out while the disk syncs: BEGIN, INSERT, message, COMMIT.

On SQLite a claim needs the write lock, which the caller holds from its BEGIN to the end of its COMMIT: so a node that
hears of the row meanwhile can neither claim it nor look in vain. It wakes up during the sync, and claims right after
it. Should the COMMIT fail, the message names a row that does not exist: harmless, as every message is.
"""

from __future__ import annotations

import sqlite3
import threading
from typing import Any

from django_ztask import crashpoints, patience, rows, transport
from django_ztask.announcement import Announcement
from django_ztask.rows import NewTask
from django_ztask.sql import direct, sqlite


def record(connection: Any, task: NewTask, announcement: Announcement) -> bool:
    """Writes a new task in a transaction of its own, and has it announced before that is committed. `connection` is
    open, in no transaction, and nobody looks at its statements. Raises what the database raises.

    False when nothing was written, since it is not the moment: another connection holds the lock (among many
    callers, each is to hold it for as short as can be), the message would have to wait, or there is another thread:
    each step of SQLite's lets go of the interpreter's lock, and a busy thread keeps that for 5 ms, while we would
    hold SQLite's.
    """
    if connection.vendor != "sqlite" or threading.active_count() != 1 or not transport.is_connected():
        return False
    raw, timeout = connection.connection, patience.its_own(connection)
    values = rows.inserted(connection, task)
    with connection.wrap_database_errors:
        try:
            if timeout:
                raw.execute("PRAGMA busy_timeout = 0")
            raw.execute("BEGIN IMMEDIATE")
            raw.execute(direct.with_question_marks(sqlite.INSERT), values)
            unsaid = transport.is_covered()
            if not unsaid:
                announcement()
            crashpoints.reach("caller-message-early")
            raw.execute("COMMIT")
        except BaseException as error:
            _roll_back(connection, raw)
            if timeout and isinstance(error, sqlite3.OperationalError) and patience.is_busy(error):
                return False
            raise
        finally:
            if timeout and connection.connection is raw:
                raw.execute(f"PRAGMA busy_timeout = {timeout}")
    if unsaid:
        announcement()  # (only now does it show whether that was in time)
    return True


def _roll_back(connection: Any, raw: Any) -> None:
    """Never leaves a transaction open of which Django knows nothing."""
    try:
        if raw.in_transaction:
            raw.execute("ROLLBACK")
    except BaseException:
        connection.close()
        raise
