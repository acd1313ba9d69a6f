"""confirm=False: calls leave their rows to a thread of this process, one for each database (writer.py). Only a
process that is killed (or ends by os._exit) loses what waits: `flush`, and every other exit, wait for it.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress

from django.db import connections

from django_ztask.draft import Draft
from django_ztask.errors import NotFlushed
from django_ztask.writer import Writer

# Seconds that an exit waits for a database that is away.
EXIT = 5.0

logger = logging.getLogger("ztaskd")

_writers: dict[str, Writer] = {}
_making = threading.Lock()
_ended = _given_up = False


def take(alias: str, drafts: Sequence[Draft]) -> bool:
    """Leaves rows to the thread that writes to the database of that alias. False at the end of the process, when
    nobody would wait for it: then they are the caller's to write."""
    if _ended:
        return False
    writer = _writers.get(alias)
    if writer is None:
        with _making:
            writer = _writers.setdefault(alias, Writer(alias))
    return writer.take(drafts)


def is_busy() -> bool:
    """True while rows of this process wait."""
    return any(writer.is_busy() for writer in list(_writers.values()))


def flush(timeout: float | None = None) -> None:
    """Returns when every task that this process has handed over with `confirm=False` before is committed.

    timeout: seconds to wait at most; None waits for as long as the database needs. Raises NotFlushed, which
    names the tasks that still wait: the writer goes on trying. At once inside a transaction on SQLite, where
    nobody else can write.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    for writer in list(_writers.values()):
        connection = connections[writer.alias]
        if connection.vendor == "sqlite" and connection.in_atomic_block and writer.is_busy():
            raise NotFlushed(
                writer.ids(), " (this transaction holds SQLite's lock: flush before it, or after)"
            )
        writer.flush(None if deadline is None else max(0.0, deadline - time.monotonic()))


def _when_threads_end() -> None:
    """When the main thread is done. A child of multiprocessing does not come any further."""
    child = (
        "multiprocessing.process" in sys.modules and sys.modules["multiprocessing.process"].parent_process()
    )
    _flush_finally(tell=bool(child))


def _at_exit() -> None:
    """Threads may have called until now."""
    global _ended
    _ended = True
    _flush_finally(tell=True)


def _flush_finally(tell: bool) -> None:
    global _given_up
    try:
        flush(0.1 if _given_up else EXIT)
    except NotFlushed as error:
        _given_up = True
        if tell:
            logger.error("the process ends, and with it %d task(s): %s", len(error.ids), ", ".join(error.ids))


def _after_fork() -> None:
    """The rows are the parent's; a child has no thread that would write them."""
    global _making
    _writers.clear()
    _making = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)
with suppress(AttributeError, RuntimeError):  # (the door through which concurrent.futures goes)
    threading._register_atexit(_when_threads_end)  # type: ignore[attr-defined]
atexit.register(_at_exit)
