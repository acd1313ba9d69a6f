"""SQLite: a lone call lets go of the lock first, tells a node, syncs then, and returns when its row is on disk."""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError, connection, connections, transaction

from django_ztask import announcement, syncing, transport
from tests.integration.crowd import PATIENCE, Call, Queue, bad, everything, record
from tests.integration.helpers import forget_connections
from tests.project.shop.tasks import add

Seen = list[tuple[int, bool]]

FULL, EXTRA = 2, 3


def as_others_see_it() -> tuple[int, bool]:
    """The rows that another connection sees, and whether it may write."""
    other = sqlite3.connect(connections["default"].settings_dict["NAME"], timeout=0, isolation_level=None)
    try:
        [count] = other.execute("SELECT count(*) FROM django_ztask_task").fetchone()
        try:
            other.execute("BEGIN IMMEDIATE")
            other.execute("ROLLBACK")
        except sqlite3.OperationalError:
            return count, False
        return count, True
    finally:
        other.close()


def connections_log() -> str:
    return os.path.realpath(f"{connections['default'].settings_dict['NAME']}-wal")


@pytest.fixture
def said() -> Seen:
    """What others saw when a message went out."""
    found: Seen = []
    transport.deliver_to(lambda ids, later: found.append(as_others_see_it()))
    return found


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> Seen:
    """What others saw when our own syncing began."""
    found: Seen = []
    sync = os.fdatasync

    def observed(descriptor: int) -> None:
        assert os.readlink(f"/proc/self/fd/{descriptor}") == connections_log()
        found.append(as_others_see_it())
        sync(descriptor)

    monkeypatch.setattr(syncing.os, "fdatasync", observed)
    return found


def fails(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """The disk fails so many times, then it works."""
    sync, left = os.fdatasync, [None] * times

    def fdatasync(descriptor: int) -> None:
        if left:
            left.pop()
            raise OSError(errno.EIO, "Input/output error")
        sync(descriptor)

    monkeypatch.setattr(syncing.os, "fdatasync", fdatasync)


def settings() -> list[Any]:
    return [
        connection.connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("synchronous", "busy_timeout")
    ]


def test_others_can_write_and_claim_while_the_disk_syncs(said: Seen, synced: Seen) -> None:
    add.async_(1)
    add.after(60, 2)
    assert said == synced == [(1, True), (2, True)]


def test_many_rows_and_transactions_are_synced_by_their_commit(said: Seen, synced: Seen) -> None:
    add.map([1, 2])
    with transaction.atomic():
        add.async_(3)
        assert len(said) == 1
    assert said == [(2, True), (3, True)]
    assert synced == []


def test_the_next_call_commits_while_the_disk_syncs_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    reached, go_on, sync = threading.Event(), threading.Event(), os.fdatasync

    def slow(descriptor: int) -> None:
        if not reached.is_set():
            reached.set()
            assert go_on.wait(PATIENCE)
        sync(descriptor)

    monkeypatch.setattr(syncing.os, "fdatasync", slow)
    first = Call(lambda: add.async_(1))
    assert reached.wait(PATIENCE)
    second = add.async_(2)
    assert first.is_alive(), "what is not on disk is not accepted"
    go_on.set()
    assert everything() == sorted([first.ends().id, second.id])


@pytest.mark.parametrize("level", [FULL, EXTRA])
def test_the_connections_settings_are_as_they_were(level: int, synced: Seen) -> None:
    add.async_(0)
    connection.close()
    connection.ensure_connection()
    connection.connection.execute(f"PRAGMA synchronous = {level}")
    before = settings()
    add.async_(1)
    assert settings() == before == [level, 20_000]
    with pytest.raises(IntegrityError):
        record(bad())()
    assert settings() == before
    assert len(synced) == 2


@pytest.mark.parametrize("level", [syncing.OFF, syncing.NORMAL])
def test_who_does_not_want_to_sync_does_not(level: int, synced: Seen) -> None:
    connection.ensure_connection()
    connection.connection.execute(f"PRAGMA synchronous = {level}")
    add.async_(1)
    assert settings()[0] == level
    assert synced == []


def test_who_wants_to_sync_later_on_does(synced: Seen) -> None:
    """Whatever was so when the connection was looked at."""
    connection.ensure_connection()
    connection.connection.execute(f"PRAGMA synchronous = {syncing.OFF}")
    add.async_(1)
    connection.connection.execute(f"PRAGMA synchronous = {FULL}")
    statements: list[str] = []
    connection.connection.set_trace_callback(statements.append)
    add.async_(2)
    connection.connection.set_trace_callback(None)
    assert not [statement for statement in statements if "synchronous" in statement]
    assert settings()[0] == FULL


def test_without_a_write_ahead_log_sqlite_syncs_by_itself(synced: Seen) -> None:
    connection.ensure_connection()
    connection.connection.execute("PRAGMA journal_mode = DELETE")
    add.async_(1)
    assert (everything() != [], synced) == (True, [])


def test_where_the_log_cannot_be_opened_sqlite_syncs_by_itself(
    monkeypatch: pytest.MonkeyPatch, synced: Seen
) -> None:
    forget_connections()

    def no_more(path: str, flags: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(syncing.os, "open", no_more)
    connection.ensure_connection()
    statements: list[str] = []
    connection.connection.set_trace_callback(statements.append)
    add.async_(1)
    connection.connection.set_trace_callback(None)
    assert [statement for statement in statements if "synchronous" in statement] == ["PRAGMA synchronous"]
    assert (len(everything()), synced) == (1, [])


def test_a_sync_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    fails(monkeypatch, times=1)
    with pytest.raises(OperationalError, match=r"log could not be synced: \[Errno 5\]") as caught:
        add.async_(1)
    assert isinstance(caught.value.__cause__, OperationalError)
    add.async_(2)
    assert settings() == [FULL, 20_000]


def test_a_sync_that_fails_is_told_to_all_who_share_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """To sync once more would only seem to help: the kernel tells of an error once."""
    fails(monkeypatch, times=1)
    queue = Queue()
    queue.add(*[lambda n=n: add.async_(n) for n in range(4)])
    queue.leave()
    assert [str(call.ends()) for call in queue.calls] == [
        "the write-ahead log could not be synced: [Errno 5] Input/output error"
    ] * 4
    assert queue.party.leader is None
    add.async_(5)


def test_who_is_interrupted_before_it_syncs_leaves_that_to_the_others(
    monkeypatch: pytest.MonkeyPatch, synced: Seen
) -> None:
    """Their rows are committed by then: to write them once more changes nothing, and would sync nothing."""
    say, interrupted = announcement.Announcement.__call__, []

    def interrupt(self: Any) -> None:
        if len(self.ids) == 3 and not interrupted:
            interrupted.append(self)
            raise KeyboardInterrupt
        say(self)

    monkeypatch.setattr(announcement.Announcement, "__call__", interrupt)
    queue = Queue()
    queue.add(*[lambda n=n: add.async_(n) for n in range(3)])
    queue.leave()
    outcomes = [call.ends() for call in queue.calls]
    assert isinstance(outcomes[0], KeyboardInterrupt)
    assert {handle.id for handle in outcomes[1:]} < set(everything())
    assert synced == [(3, True)] * 2
