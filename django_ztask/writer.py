"""The thread that commits the rows of calls with confirm=False: in groups, each synced as any other commit, and
announced when it is there.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from typing import Any

from django.db import DatabaseError, DataError, IntegrityError, InterfaceError, connections

from django_ztask import journal, rows
from django_ztask.announcement import Announcement
from django_ztask.conf import key
from django_ztask.draft import Draft
from django_ztask.errors import NotFlushed

# Rows that wait at most; then calls wait until there is room.
MOST = 10_000

# Characters of arguments in one transaction.
CHARACTERS = 2**20

# Seconds without a call after which the thread ends, and its connection with it.
IDLE = 1.0

# Seconds between attempts at a database that does not work (the first, the longest pause), and between two
# warnings about it.
RETRY_FIRST, RETRY_LAST, QUIET = 0.05, 1.0, 10.0

logger = logging.getLogger("ztaskd")


class Writer:
    """The rows of one database that wait, and the thread that writes them."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self._lock = threading.Lock()
        self._filled = threading.Condition(self._lock)
        self._emptied = threading.Condition(self._lock)
        self._waiting: deque[Draft] = deque()
        self._group: Sequence[Draft] = ()
        self._done = 0
        self._thread: threading.Thread | None = None
        self._idle = False
        self._quiet_until = 0.0

    def take(self, drafts: Sequence[Draft]) -> bool:
        """From a call. Waits for room when too many wait already. False when Python starts no threads any more."""
        with self._lock:
            while len(self._waiting) >= MOST:
                self._emptied.wait()
            if not self._runs():
                return False
            self._waiting.extend(drafts)  # (all or nothing of a call, should it be interrupted)
            if self._idle:
                self._idle = False
                self._filled.notify()
            return True

    def flush(self, timeout: float | None) -> None:
        """Returns when all that was taken before is committed. Raises NotFlushed after `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._lock:
            wanted = self._done + len(self._group) + len(self._waiting)
            while self._done < wanted:
                left = None if deadline is None else deadline - time.monotonic()
                if (left is not None and left <= 0) or not self._runs():
                    raise NotFlushed(self._ids())
                self._emptied.wait(left)

    def is_busy(self) -> bool:
        with self._lock:
            return bool(self._group or self._waiting)

    def ids(self) -> list[str]:
        """Of the rows that wait."""
        with self._lock:
            return self._ids()

    def _ids(self) -> list[str]:
        return [draft.id for draft in (*self._group, *self._waiting)]

    def _runs(self) -> bool:
        """Starts the thread when there is none; it may have been killed, as a greenlet."""
        if self._thread is None or not self._thread.is_alive():
            self._idle = False
            self._thread = threading.Thread(target=self._run, name="ztaskd-writer", daemon=True)
            try:
                self._thread.start()
            except RuntimeError:
                self._thread = None
        return self._thread is not None

    # -- in the thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while self._gather():
                self._write(self._group)
                with self._lock:
                    self._done += len(self._group)
                    self._group = ()
                    self._emptied.notify_all()
        finally:
            connections[self.alias].close()

    def _gather(self) -> bool:
        """Takes the next group. False when nothing came for a while, and the thread is to end."""
        with self._lock:
            while not self._waiting and not self._group:  # (a group that a killed thread has left)
                self._idle = True
                if not self._filled.wait(IDLE) and not self._waiting:
                    self._idle, self._thread = False, None
                    return False
            self._idle = False
            if not self._group:
                self._group = _first(self._waiting)
                for _ in self._group:
                    self._waiting.popleft()
            return True

    def _write(self, group: Sequence[Draft]) -> None:
        """However long the database needs to work again. A row that it refuses stops no other."""
        pause = RETRY_FIRST
        while True:
            try:
                self._insert(group)
            except Exception as error:
                with suppress(Exception):
                    connections[self.alias].close()
                if not _is_refusal(error):
                    self._warn(error)
                    time.sleep(pause)
                    pause = min(2 * pause, RETRY_LAST)
                elif len(group) > 1:
                    for draft in group:
                        self._write([draft])
                    return
                else:
                    text = "task %s %s (confirm=False) is lost, the database refuses its row: %s"
                    logger.error(text, group[0].id, group[0].function_name, error)
                    return
            else:
                break
        said = Announcement()
        said.ids.extend(draft.id for draft in group if not draft.is_later)
        said.postpone(min((draft.due for draft in group if draft.is_later), default=None))
        said()

    def _insert(self, group: Sequence[Draft]) -> None:
        """(Some may be there already, from a commit that was made although it raised.)"""
        connection: Any = connections[self.alias]
        connection.ensure_connection()
        signing = key("row")
        journal.insert(
            connection, [rows.inserted(connection, draft.signed(signing)) for draft in group], again=True
        )

    def _warn(self, error: Exception) -> None:
        now = time.monotonic()
        if now >= self._quiet_until:
            self._quiet_until = now + QUIET
            text = (
                "%d task(s) of calls with confirm=False wait, their rows cannot be written: %s; trying again"
            )
            logger.warning(text, len(self._group) + len(self._waiting), error)


def _first(waiting: deque[Draft]) -> list[Draft]:
    """As many as go into one transaction."""
    group: list[Draft] = []
    size = 0
    for draft in islice(waiting, journal.CHUNK):
        size += len(draft.payload.args) + len(draft.payload.kwargs)
        if group and size > CHARACTERS:
            break
        group.append(draft)
    return group


def _is_refusal(error: Exception) -> bool:
    """True for what is wrong with a row, False for what is wrong with the database."""
    if isinstance(error, DatabaseError | InterfaceError | OSError | MemoryError):
        return isinstance(error, DataError | IntegrityError)
    return True
