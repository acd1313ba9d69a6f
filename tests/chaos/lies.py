"""Broken promises, to prove that the judge sees them. CHAOS_LIE names one; it is told when this is imported.

Never imported by ztaskd, nor by a run without --lie.
"""

from __future__ import annotations

import os
import re
import threading
import time
from typing import Any

# Calls that the early client has reported and not written.
HELD_BACK = 20


def report_early() -> None:
    """The client: async_ returns before its row is written; what a kill -9 finds unwritten is gone."""
    import atexit

    from django_ztask import together

    record, lock = together.record, threading.Lock()
    unwritten: list[Any] = []

    def later(*call: Any) -> None:
        with lock:
            unwritten.append(call)
            ready = [each for each in unwritten[:-HELD_BACK] if each[0] is call[0]]
            unwritten[:] = [each for each in unwritten if each not in ready]
        for each in ready:
            record(*each)

    def rest() -> None:
        from django.db import connection

        for _, *what in unwritten:
            record(connection, *what)

    together.record = later
    atexit.register(rest)


def finish_early() -> None:
    """The daemon: a task is written down as done, and then done."""
    import gevent

    from django_ztask.lifecycle import Kind, Outcome
    from ztaskd.attempt import conclude
    from ztaskd.dispatch import Dispatcher

    honest = Dispatcher.answered

    def answered(self: Any, answer: Any) -> None:
        for task in answer.claimed:
            self.first.held += 1
            self.committer.finish(conclude(task, Outcome(Kind.SUCCESS), time.time()))
            gevent.spawn_later(0.3, self.first.places.put, task)
        answer.claimed = []
        honest(self, answer)

    Dispatcher.answered = answered  # type: ignore[method-assign]


def claim_anything() -> None:
    """The daemon: a claim takes what is done already. (With `send_twice`, each name comes a second time.)"""
    from django_ztask.sql import sqlite

    for name in ("CLAIM", "CLAIM_ONE"):
        honest = getattr(sqlite, name)
        setattr(sqlite, name, honest.replace("AND +status = 'QUEUED' ", ""))
        assert honest != getattr(sqlite, name)


def send_twice() -> None:
    """The client, and no lie at all: each message comes a second time, 0.3 s later. It must change nothing."""
    from django_ztask import transport

    send = transport.send

    def twice(ids: Any, later: Any) -> None:
        send(ids, later)
        timer = threading.Timer(0.3, send, [ids, later])
        timer.start()

    transport.send = twice


def start_twice() -> None:
    """The daemon: the first task of each claim is given to two slots at once."""
    from ztaskd.dispatch import Dispatcher

    honest = Dispatcher.answered

    def answered(self: Any, answer: Any) -> None:
        answer.claimed += answer.claimed[:1]
        honest(self, answer)

    Dispatcher.answered = answered  # type: ignore[method-assign]


def ignore_rollback() -> None:
    """The client: what is to be rolled back is committed."""
    from django.db.transaction import Atomic

    leave = Atomic.__exit__

    def commit(self: Any, kind: Any, error: Any, traceback: Any) -> None:
        leave(self, None, None, None)

    Atomic.__exit__ = commit  # type: ignore[method-assign]


def forget() -> None:
    """The daemon: every hundredth outcome is dropped, and the row stays RUNNING."""
    from ztaskd.committer import Committer

    finish, count = Committer.finish, 0

    def sometimes(self: Any, outcome: Any) -> None:
        nonlocal count
        count += 1
        if count % 100:
            finish(self, outcome)

    Committer.finish = sometimes  # type: ignore[method-assign]


def finish_twice() -> None:
    """The daemon, and no lie at all: each outcome is written a second time, 0.3 s later. The fence stops it."""
    from collections import deque

    from django_ztask import journal

    honest, again = journal.finish, deque[Any]()

    def finish(connection: Any, boot: str, finishes: Any) -> Any:
        now = time.monotonic()
        while again and again[0][0] < now:
            honest(connection, boot, [again.popleft()[1]])
        again.extend((now + 0.3, each) for each in finishes)
        return honest(connection, boot, finishes)

    journal.finish = finish


def forget_fence() -> None:
    """The daemon: and nothing does, since an outcome is written whoever holds the row by then."""
    from django_ztask.sql import sqlite

    for name in ("SUCCEED", "FINISH"):
        honest = getattr(sqlite, name)
        setattr(sqlite, name, re.sub(r" AND task.node = .*'RUNNING'", "", honest, flags=re.DOTALL))
        assert honest != getattr(sqlite, name)
    finish_twice()


# Each lie: what the clients do, and what the daemon does.
LIES = {
    "report-early": (report_early, None),
    "finish-early": (None, finish_early),
    "send-twice": (send_twice, None),
    "claim-anything": (send_twice, claim_anything),
    "start-twice": (None, start_twice),
    "ignore-rollback": (ignore_rollback, None),
    "forget": (None, forget),
    "finish-twice": (None, finish_twice),
    "forget-fence": (None, forget_fence),
}

_client, _daemon = LIES[os.environ["CHAOS_LIE"]]
_tell = _client if "CHAOS_ORDER" in os.environ else _daemon
if _tell is not None:
    _tell()
