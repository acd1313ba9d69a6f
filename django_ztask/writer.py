"""confirm=False: calls leave their rows to a thread of this process, which commits them in groups, each synced as
any other commit, and announces each group. Only a process that is killed (or ends by os._exit) loses what waits:
`flush`, and every other exit, wait for it.
"""

from __future__ import annotations

import atexit
import logging
import os
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

# Seconds without a call after which the thread ends, and its connection with it.
IDLE = 1.0

# Seconds that an exit waits for a database that is away.
EXIT = 5.0

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
        self._handed = self._done = 0
        self._thread: threading.Thread | None = None
        self._idle = False
        self._quiet_until = 0.0

    def take(self, drafts: Sequence[Draft]) -> None:
        """From a call. Waits for room when too many wait already."""
        with self._lock:
            while len(self._waiting) >= MOST:
                self._emptied.wait()
            self._waiting.extend(drafts)
            self._handed += len(drafts)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="ztaskd-writer", daemon=True)
                self._thread.start()
            elif self._idle:
                self._idle = False
                self._filled.notify()

    def flush(self, timeout: float | None) -> None:
        """Returns when all that was taken before is committed. Raises NotFlushed after `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._lock:
            wanted = self._handed
            while self._done < wanted:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise NotFlushed([draft.id for draft in (*self._group, *self._waiting)])
                self._emptied.wait(left)

    def is_busy(self) -> bool:
        with self._lock:
            return self._done < self._handed

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
            while not self._waiting:
                self._idle = True
                if not self._filled.wait(IDLE) and not self._waiting:
                    self._idle, self._thread = False, None
                    return False
            self._idle = False
            self._group = list(islice(self._waiting, journal.CHUNK))
            for _ in self._group:
                self._waiting.popleft()
            return True

    def _write(self, group: Sequence[Draft], again: bool = False) -> None:
        """However long the database needs to work again. A row that it refuses stops no other. `again`: some
        may be there already, from a commit that was made although it raised."""
        pause = RETRY_FIRST
        while True:
            try:
                self._insert(group, again)
            except Exception as error:
                with suppress(Exception):
                    connections[self.alias].close()
                if not _is_refusal(error):
                    self._warn(error)
                    time.sleep(pause)
                    pause, again = min(2 * pause, RETRY_LAST), True
                elif len(group) > 1:
                    for draft in group:
                        self._write([draft], again=True)
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

    def _insert(self, group: Sequence[Draft], again: bool) -> None:
        connection: Any = connections[self.alias]
        connection.ensure_connection()
        signing = key("row")
        journal.insert(
            connection, [rows.inserted(connection, draft.signed(signing)) for draft in group], again
        )

    def _warn(self, error: Exception) -> None:
        now = time.monotonic()
        if now >= self._quiet_until:
            self._quiet_until = now + QUIET
            text = (
                "%d task(s) of calls with confirm=False wait, their rows cannot be written: %s; trying again"
            )
            logger.warning(text, len(self._group) + len(self._waiting), error)


def _is_refusal(error: Exception) -> bool:
    """True for what is wrong with a row, False for what is wrong with the database."""
    if isinstance(error, DatabaseError | InterfaceError | OSError | MemoryError):
        return isinstance(error, DataError | IntegrityError)
    return True


_writers: dict[str, Writer] = {}
_making = threading.Lock()


def take(alias: str, drafts: Sequence[Draft]) -> None:
    """Leaves rows to the thread that writes to the database of that alias."""
    writer = _writers.get(alias)
    if writer is None:
        with _making:
            writer = _writers.setdefault(alias, Writer(alias))
    writer.take(drafts)


def is_busy() -> bool:
    """True while rows of this process wait."""
    return any(writer.is_busy() for writer in list(_writers.values()))


def flush(timeout: float | None = None) -> None:
    """Returns when every task that this process has handed over with `confirm=False` before is committed.

    timeout: seconds to wait at most; None waits for as long as the database needs. Raises NotFlushed, which
    names the tasks that still wait: the writer goes on trying.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    for writer in list(_writers.values()):
        writer.flush(None if deadline is None else max(0.0, deadline - time.monotonic()))


def _at_exit() -> None:
    try:
        flush(EXIT)
    except NotFlushed as error:
        logger.error("the process ends, and with it %d task(s): %s", len(error.ids), ", ".join(error.ids))


def _after_fork() -> None:
    """The rows are the parent's; a child has no thread that would write them."""
    global _making
    _writers.clear()
    _making = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
