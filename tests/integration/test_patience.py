"""A caller and SQLite's lock: it waits as long as its connection says, leaves no trace on it, and is honest."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError, connection, connections
from django.test import SimpleTestCase
from django.test.testcases import DatabaseOperationForbidden
from django.test.utils import CaptureQueriesContext

from django_ztask import journal, patience
from django_ztask.models import Task
from tests.integration.crowd import nobody_else_writes
from tests.integration.helpers import forget_connections, new_task
from tests.project.shop.models import Order
from tests.project.shop.tasks import add

SHORT = 0.2  # seconds that a connection waits for the lock, in these tests


@pytest.fixture
def short_patience(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    options = connections.settings["default"]["OPTIONS"]
    forget_connections()
    monkeypatch.setitem(connections.settings["default"], "OPTIONS", {**options, "timeout": SHORT})
    yield
    forget_connections()


def busy_timeout() -> int:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout")
        return int(cursor.fetchone()[0])


@pytest.mark.usefixtures("short_patience")
@pytest.mark.parametrize("call", [lambda: add.async_(1), lambda: add.map([1, 2])], ids=["async_", "map"])
def test_who_waits_in_vain_is_told_so_and_leaves_no_row(call: Callable[[], Any]) -> None:
    add.async_(0)
    with nobody_else_writes():
        began = time.monotonic()
        with pytest.raises(OperationalError, match="database is locked"):
            call()
        assert time.monotonic() - began >= SHORT
    assert Task.objects.count() == 1
    assert busy_timeout() == SHORT * 1000


def test_who_waits_comes_in_when_the_lock_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    add.async_(0)
    sleep, pauses = time.sleep, []

    with nobody_else_writes() as let_go:

        def pause(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 20:
                let_go()
            sleep(seconds)

        monkeypatch.setattr(patience.time, "sleep", pause)
        add.async_(1)
    assert len(pauses) >= 20, "it tries often"
    assert pauses[0] == patience.FIRST
    assert max(pauses) <= patience.LONGEST
    assert Task.objects.count() == 2
    assert busy_timeout() == 20_000


def test_an_error_of_another_kind_is_raised_at_once_and_leaves_the_timeout_as_it_was() -> None:
    task = new_task(1)
    journal.record(connection, [task])
    with pytest.raises(IntegrityError):
        journal.record(connection, [task])
    assert busy_timeout() == 20_000


def test_a_connection_that_has_read_what_is_out_of_date_is_told_at_once() -> None:
    """To wait would be in vain: SQLite lets nobody write upon an old state."""
    Order.objects.bulk_create([Order(number=n) for n in range(500)])
    orders = Order.objects.iterator(chunk_size=2)
    next(orders)

    def write() -> None:
        Order.objects.create(number=1000)
        connections.close_all()

    other = threading.Thread(target=write)
    other.start()
    other.join()
    began = time.monotonic()
    with pytest.raises(OperationalError):
        add.async_(1)
    assert time.monotonic() - began < 10
    orders.close()
    add.async_(2)
    assert Task.objects.count() == 1


@pytest.mark.usefixtures("short_patience")
def test_without_a_write_ahead_log_the_waiting_is_sqlites_own() -> None:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA journal_mode = DELETE")
    add.async_(1)
    with nobody_else_writes(), pytest.raises(OperationalError, match="locked"):
        add.async_(2)
    assert Task.objects.count() == 1


@pytest.mark.usefixtures("short_patience")
def test_who_watches_the_statements_sees_each_once_even_if_it_waits() -> None:
    seen = []

    def watch(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        seen.append(sql.split()[0])
        return execute(sql, params, many, context)

    add.async_(0)
    with connection.execute_wrapper(watch), CaptureQueriesContext(connection) as queries:
        add.async_(1)
        with nobody_else_writes(), pytest.raises(OperationalError):
            add.async_(2)
    assert seen == ["INSERT", "INSERT"]
    assert [query["sql"].split()[0] for query in queries] == ["INSERT", "INSERT"]


@pytest.mark.both_databases
def test_a_test_case_without_databases_refuses_the_call() -> None:
    class NoDatabases(SimpleTestCase):
        def runTest(self) -> None:
            with pytest.raises(DatabaseOperationForbidden):
                add.async_(1)
            with pytest.raises(DatabaseOperationForbidden):
                add.map([1, 2])

    for opened in (False, True):
        if opened:
            connection.ensure_connection()
        NoDatabases.setUpClass()
        try:
            NoDatabases().runTest()
        finally:
            NoDatabases.doClassCleanups()
    assert Task.objects.count() == 0


@pytest.mark.both_databases
def test_a_transaction_that_was_begun_by_hand_holds_for_a_call() -> None:
    for end, count in (("ROLLBACK", 0), ("COMMIT", 3)):
        with connection.cursor() as cursor:
            cursor.execute("BEGIN")
            add.async_(1)
            add.map([2, 3])
            cursor.execute(end)
        assert Task.objects.count() == count
