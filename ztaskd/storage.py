"""The committer's connection: opened in its thread, relaxed syncing, waiting for SQLite's lock."""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from typing import Any

from django.db import (
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    connections,
    transaction,
)
from gevent import monkey

sleep = monkey.get_original("time", "sleep")

# Whatever a database may raise, and what a lack of files or memory makes of it.
TROUBLE = (DatabaseError, InterfaceError, OSError, MemoryError)

# Seconds between two attempts to get SQLite's lock: the first pauses, and for how long they are so short, then the
# others. (A caller lets go in a moment: it syncs afterwards.) SQLite's own wait backs off to 100 ms,
# and starved the committer for seconds beside a caller that writes all the time.
LOCK_POLL_FIRST, LOCK_FIRST, LOCK_POLL = 0.00002, 0.002, 0.0003

# Seconds of waiting for a lock (SQLite's, or that of a row) before it is reported, and waited for again.
LOCK_PATIENCE = 5.0

# SQLite's lock is left free for at least the first, and for as long as it was held (seconds): back to
# back, commits starved sixteen callers (p99 3 s); with the pause it was 54 ms. No longer than the second.
DOOR_OPEN, DOOR_OPEN_MOST = 0.001, 0.05

# Where rows come in numbers, larger batches are cheaper for everybody: so many seconds for each row of the last
# one, up to so many. (A lone caller: 1,850 calls/s without it, 2,240 with it.)
FOR_A_ROW, FOR_ROWS = 0.0005, 0.004


class Storage(ABC):
    """One Django connection of the committer's thread. Callers' connections keep their own settings."""

    def __init__(self, alias: str) -> None:
        self.alias = alias

    def connection(self) -> Any:
        """The connection; opened, and made ours, when there is none."""
        connection: Any = connections[self.alias]
        if connection.connection is None:
            try:
                connection.ensure_connection()  # (connect() would raise the driver's own errors)
                self.prepare(connection)
            except OSError as error:  # too many open files: psycopg wants one to wait with
                connection.close()
                raise OperationalError(str(error)) from error
            except BaseException:
                connection.close()
                raise
        return connection

    def close(self) -> None:
        connections[self.alias].close()

    def door_open(self, rows: int = 0) -> float:
        """Seconds to leave the database to others before the next transaction, after one of that many rows."""
        return 0.0

    def prepare(self, connection: Any) -> None:  # noqa: B027 - a hook
        """What this thread wants of a new connection otherwise than the project."""

    @abstractmethod
    def transaction(self, full: bool) -> AbstractContextManager[Any]:
        """A transaction; `full`: synced to disk when it ends. Its value is the connection."""

    def look(self) -> AbstractContextManager[Any]:
        """What a search for due rows needs: on SQLite no transaction, for it takes no lock."""
        return nullcontext(self.connection())

    def batch(self, full: bool) -> AbstractContextManager[Any]:
        """A transaction for claims and ends, of which Django need not know."""
        return self.transaction(full)


class SQLiteStorage(Storage):
    """Takes the lock with the first statement, and waits for it by short sleeps."""

    _held = 0.0
    _path = ""
    _opened: os.stat_result | None = None

    def connection(self) -> Any:
        """Never one to a file that is not at its path any more: what is written there nobody would see.
        Nor does it make an empty file in place of one that is gone."""
        if self._opened is not None:
            try:
                same = os.path.samestat(os.stat(self._path), self._opened)
            except OSError as error:
                self.close()
                raise OperationalError(f"the file {self._path} is gone: {error.strerror}") from error
            if not same:
                self.close()
                self._opened = None
                raise OperationalError(f"the file {self._path} was replaced by another one")
        return super().connection()

    def prepare(self, connection: Any) -> None:
        connection.transaction_mode = "IMMEDIATE"
        # In this order: the first statement may have to wait for whoever closes or recovers the file.
        self._execute(connection, "PRAGMA synchronous = NORMAL")
        self._execute(connection, "PRAGMA busy_timeout = 0")
        self._path = self._execute(connection, "PRAGMA database_list")[2]
        self._opened = os.stat(self._path)

    @contextmanager
    def transaction(self, full: bool) -> Iterator[Any]:
        connection = self.connection()
        with self._synced(connection, full), ExitStack() as stack:
            stack.push(self._patiently(self._atomic))
            began = time.monotonic()
            yield connection
            stack.close()
            self._held = time.monotonic() - began

    @contextmanager
    def batch(self, full: bool) -> Iterator[Any]:
        connection = self.connection()
        execute = connection.connection.execute
        with self._synced(connection, full), connection.wrap_database_errors:
            self._patiently(partial(self._execute, connection, "BEGIN IMMEDIATE"))
            began = time.monotonic()
            try:
                yield connection
                execute("COMMIT")
            except BaseException:
                if connection.connection.in_transaction:
                    execute("ROLLBACK")
                raise
            self._held = time.monotonic() - began

    @contextmanager
    def _synced(self, connection: Any, full: bool) -> Iterator[None]:
        if full:
            self._execute(connection, "PRAGMA synchronous = FULL")
        try:
            yield
        finally:
            if full and connection.connection is not None:
                self._execute(connection, "PRAGMA synchronous = NORMAL")

    def door_open(self, rows: int = 0) -> float:
        held, self._held = self._held, 0.0
        if not held:  # (a look takes no lock)
            return 0.0
        return min(max(held, DOOR_OPEN, min(rows * FOR_A_ROW, FOR_ROWS)), DOOR_OPEN_MOST)

    def _atomic(self) -> Any:
        atomic = transaction.atomic(using=self.alias)
        atomic.__enter__()
        return atomic

    def _patiently(self, begin: Callable[[], Any]) -> Any:
        """What `begin` returns, however long another process holds the lock (up to LOCK_PATIENCE)."""
        began = time.monotonic()
        while True:
            try:
                return begin()
            except OperationalError as error:
                waited = time.monotonic() - began
                if not is_locked(error) or waited >= LOCK_PATIENCE:
                    raise
                sleep(LOCK_POLL_FIRST if waited < LOCK_FIRST else LOCK_POLL)

    def _execute(self, connection: Any, text: str) -> Any:
        with connection.wrap_database_errors:
            return connection.connection.execute(text).fetchone()


class PostgreSQLStorage(Storage):
    """Commits without waiting for the disk, unless asked to. A row that somebody else has locked is waited
    for as SQLite's lock is: with a word about it now and then."""

    # For the transaction only: with Django's `pool`, a task may get this session next.
    # Every statement of ours has its index: a planner whose statistics are old, or none, must take it.
    SETTINGS = """SELECT set_config('synchronous_commit', %s, true), set_config('lock_timeout', %s, true),
        set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
        set_config('enable_sort', 'off', true)"""

    def look(self) -> AbstractContextManager[Any]:
        """(It locks the rows that it finds, which is written to the log: that need not be synced.)"""
        return self.transaction(False)

    @contextmanager
    def transaction(self, full: bool) -> Iterator[Any]:
        connection = self.connection()
        with transaction.atomic(using=self.alias):
            with connection.cursor() as cursor:
                cursor.execute(self.SETTINGS, ["on" if full else "off", f"{LOCK_PATIENCE:g}s"])
            yield connection


def storage_for(alias: str) -> Storage:
    """The storage that fits the database of `alias`."""
    kinds: dict[str, type[Storage]] = {"sqlite": SQLiteStorage, "postgresql": PostgreSQLStorage}
    return kinds[connections[alias].vendor](alias)


def is_refusal(error: Exception) -> bool:
    """True for what is wrong with a row, False for what is wrong with the database (which passes, or is
    mended: a missing column must not condemn every task).

    SQLite calls text that is no UTF-8 an OperationalError. What is no database's error at all, and no lack
    of memory or files, comes from reading a column that somebody has edited.
    """
    if isinstance(error, TROUBLE):
        return isinstance(error, DataError | IntegrityError) or "Could not decode" in str(error)
    return True


def is_locked(error: OperationalError) -> bool:
    """True when SQLite says that another connection holds the lock."""
    return "locked" in str(error)
