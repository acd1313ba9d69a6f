"""Threads that record at the same moment, outside of a transaction, share one commit.

Who comes when nobody commits leads: it writes its own rows at once, and those that others have brought by then, on
its own connection. Who comes while somebody commits waits, and is told; the first of them leads next. There is no
thread of our own, and a lone call waits for nobody. Who returns has its row committed: a commit that fails is none
of the others' business, and each then writes its rows itself, and gets its own error.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain
from typing import Any

from django_ztask import journal, rows
from django_ztask.announcement import Announcement
from django_ztask.rows import NewTask

# Rows, and characters of their arguments, in one shared commit: SQLite's lock is held for a few milliseconds.
ROWS, CHARACTERS = 500, 2**20

Values = Sequence[tuple[Any, ...]]


class Seat:
    """One call's part in a commit: its rows, and what a node is to be told of them."""

    __slots__ = ("announcement", "began", "followers", "is_written", "leads", "size", "values", "wake")

    def __init__(self, values: Values, announcement: Announcement) -> None:
        self.values = values
        self.announcement = announcement
        self.size = sum(len(row[2]) + len(row[3]) for row in values)
        self.began = time.monotonic()
        self.is_written = False
        self.leads = False  # it has written rows, and announces them
        self.followers: list[Seat] = []  # whose rows this one writes
        self.wake: Any = None  # locked while it waits


class Party:
    """The calls that may share a commit: those of one database. An interrupt may come between any two lines of it,
    and nobody is left waiting: so the orders in here matter."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.leader: Seat | None = None
        self.waiting: deque[Seat] = deque()

    def enter(self, seat: Seat) -> bool:
        """True: it leads. Otherwise it has waited: its rows are written, or it writes them itself."""
        with self.lock:
            if self.leader is None:
                self.leader = seat
                return True
            seat.wake = threading.Lock()
            seat.wake.acquire()
            self.waiting.append(seat)
        seat.wake.acquire()
        with self.lock:
            return self.leader is seat and not seat.is_written

    def gather(self, leader: Seat) -> None:
        """The leader takes along what others have brought."""
        size = leader.size
        with self.lock:
            if self.waiting and self.waiting[0] is leader:
                self.waiting.popleft()
            while self.waiting and len(leader.followers) < ROWS - 1:
                size += self.waiting[0].size
                if size > CHARACTERS:
                    break
                leader.followers.append(self.waiting[0])
                self.waiting.popleft()

    def leave(self, seat: Seat) -> None:
        """Whoever waits for this one goes on. To be called twice, for an interrupt may cut it short once."""
        with self.lock:
            if seat in self.waiting:
                self.waiting.remove(seat)
            if self.leader is seat:
                following = self.waiting[0] if self.waiting else None
                if following is not None:
                    _wake(following)
                self.leader = following
        for follower in seat.followers:
            follower.is_written = follower.is_written or seat.is_written
            _wake(follower)


def _wake(seat: Seat) -> None:
    with suppress(RuntimeError):  # it is awake already
        seat.wake.release()


def record(connection: Any, tasks: Sequence[NewTask], announcement: Announcement) -> None:
    """Writes new tasks in a transaction of their own, or one shared with other threads, and has them announced.
    `connection` is in no transaction. Raises what the database raises."""
    seat = Seat([rows.inserted(connection, task) for task in tasks], announcement)
    party = _party(connection)
    failure = None
    try:
        try:
            if party.enter(seat):
                party.gather(seat)
                _write(connection, seat)
        except Exception as error:
            if not seat.followers:
                raise
            failure = error
        finally:
            party.leave(seat)
    finally:
        party.leave(seat)
    if not seat.is_written:
        _write_alone(connection, seat, failure)
    if seat.leads:
        announcement()


def _write(connection: Any, leader: Seat) -> None:
    """Everybody's rows. (Whose were announced by somebody else has nothing to say itself.)"""
    seats = [leader, *leader.followers]
    journal.insert(connection, list(chain.from_iterable(seat.values for seat in seats)), began=leader.began)
    leader.is_written = leader.leads = True
    for follower in leader.followers:
        leader.announcement.join(follower.announcement)


def _write_alone(connection: Any, seat: Seat, failure: Exception | None) -> None:
    """After a shared commit that failed. It may have been made all the same: then the rows are there, and ours."""
    if failure is not None and getattr(connection.connection, "closed", False):
        raise failure  # (which says why it is closed)
    journal.insert(connection, seat.values, again=True, began=seat.began)
    seat.leads = True


_parties: dict[tuple[str, Any], Party] = {}

# A child has no thread that would wake anybody.
os.register_at_fork(after_in_child=_parties.clear)


def _party(connection: Any) -> Party:
    # (django-tenants gives the threads' connections different schemas.)
    key = (connection.alias, getattr(connection, "schema_name", None))
    return _parties.get(key) or _parties.setdefault(key, Party())
