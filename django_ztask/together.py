"""Threads that record at the same moment, outside of a transaction, share one commit.

Who comes when nobody commits leads: it writes its own rows at once, and those that others have brought by then, on
its own connection. Who comes while somebody commits waits, and is told; the first of them leads next, while the disk
still syncs what the one before has committed, and a node claims it. There is no thread of our own, and a lone call
waits for nobody. Who returns has its row on disk: a commit that fails is none of the others' business, and each then
writes its rows itself, and gets its own error; a sync that fails is told to all.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from itertools import chain
from typing import Any

from django.db import OperationalError

from django_ztask import crashpoints, journal, patience, rows
from django_ztask.announcement import Announcement
from django_ztask.rows import NewTask
from django_ztask.sql import direct, sqlite
from django_ztask.syncing import Sync, nothing

# Rows, and characters of their arguments, in one shared commit: SQLite's lock is held for a few milliseconds.
ROWS, CHARACTERS = 500, 2**20

Values = Sequence[tuple[Any, ...]]


class Seat:
    """One call's part in a commit: its rows, and what a node is to be told of them."""

    __slots__ = (
        "announcement",
        "began",
        "doubt",
        "followers",
        "is_written",
        "refusal",
        "size",
        "values",
        "wake",
    )

    def __init__(self, values: Values, announcement: Announcement) -> None:
        self.values = values
        self.announcement = announcement
        self.size = sum(len(row[2]) + len(row[3]) for row in values)
        self.began = time.monotonic()
        self.is_written = False  # and on disk
        self.refusal: Exception | None = None  # of a shared commit that it has led
        self.doubt: Exception | None = None  # it is committed, and nobody knows whether it is on disk
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

    def pass_on(self, leader: Seat) -> None:
        """It has committed: the next may lead."""
        with self.lock:
            self._pass_on(leader)

    def _pass_on(self, leader: Seat) -> None:
        if self.leader is leader:
            following = self.waiting[0] if self.waiting else None
            if following is not None:
                _wake(following)
            self.leader = following

    def leave(self, seat: Seat) -> None:
        """Whoever waits for this one goes on. To be called twice, for an interrupt may cut it short once."""
        with self.lock:
            if seat in self.waiting:
                self.waiting.remove(seat)
            self._pass_on(seat)
        for follower in seat.followers:
            follower.is_written = follower.is_written or seat.is_written
            _wake(follower)


def _wake(seat: Seat) -> None:
    with suppress(RuntimeError):  # it is awake already
        seat.wake.release()


def record(connection: Any, tasks: Sequence[NewTask], announcement: Announcement) -> None:
    """Writes new tasks in a transaction of their own, or one shared with other threads, and has them announced.
    `connection` is open, in no transaction, and nobody looks at its statements. Raises what the database raises."""
    seat = Seat([rows.inserted(connection, task) for task in tasks], announcement)
    party = _party(connection)
    try:
        try:
            if party.enter(seat):
                party.gather(seat)
                _lead(connection, party, seat)
        finally:
            party.leave(seat)
    finally:
        party.leave(seat)
    if seat.doubt is not None:
        raise OperationalError(str(seat.doubt)) from seat.doubt
    if not seat.is_written:
        _write_alone(connection, seat)


def _lead(connection: Any, party: Party, leader: Seat) -> None:
    """Everybody's rows. (Whose were announced by somebody else has nothing to say itself.)"""
    seats = [leader, *leader.followers]
    try:
        sync = _insert(connection, list(chain.from_iterable(seat.values for seat in seats)), leader.began)
    except Exception as error:
        if not leader.followers:
            raise
        leader.refusal = error
        return
    party.pass_on(leader)
    for follower in leader.followers:
        leader.announcement.join(follower.announcement)
    leader.announcement()
    crashpoints.reach("caller-unsynced")
    try:
        sync()
    except OperationalError as error:
        for seat in seats:
            seat.doubt = error
    else:
        leader.is_written = True


def _write_alone(connection: Any, seat: Seat) -> None:
    """After a shared commit that failed, or whose leader was interrupted. It may have been made all the same: then the
    rows are there, and ours, and perhaps not on disk."""
    if seat.refusal is not None and getattr(connection.connection, "closed", False):
        raise seat.refusal  # (which says why it is closed)
    sync = _insert(connection, seat.values, seat.began, again=True)
    seat.announcement()
    sync()


def _insert(connection: Any, values: Values, began: float, again: bool = False) -> Sync:
    """The rows are there for all; on disk when its result has been called."""
    if connection.vendor != "sqlite":
        journal.insert(connection, values, again)
        return nothing
    with direct.DirectCursor(connection) as cursor:
        return patience.committed(connection, partial(sqlite.insert, cursor, values, again), began)


_parties: dict[tuple[str, Any], Party] = {}

# A child has no thread that would wake anybody.
os.register_at_fork(after_in_child=_parties.clear)


def _party(connection: Any) -> Party:
    # (django-tenants gives the threads' connections different schemas.)
    key = (connection.alias, getattr(connection, "schema_name", None))
    return _parties.get(key) or _parties.setdefault(key, Party())
