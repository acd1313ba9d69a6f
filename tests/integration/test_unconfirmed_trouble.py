"""confirm=False: what trouble of the database, full queues and forks cost. On both databases."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import connection, connections, transaction

import django_ztask
from django_ztask import journal, unconfirmed, writer
from django_ztask.errors import NotFlushed, ResultTimeout
from django_ztask.handle import TaskHandle
from django_ztask.models import Task
from tests.integration.conftest import Messages
from tests.project.shop.models import Order
from tests.project.shop.tasks import add

pytestmark = [pytest.mark.both_databases, pytest.mark.usefixtures("writing_thread")]

later = add.using(confirm=False)


@contextmanager
def nobody_writes(vendor: str) -> Iterator[None]:
    """Another connection keeps everybody from writing tasks."""
    held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with connections["default"].cursor() as cursor:
            cursor.execute("BEGIN IMMEDIATE" if vendor == "sqlite" else "BEGIN")
            if vendor == "postgresql":
                cursor.execute("LOCK TABLE django_ztask_task IN EXCLUSIVE MODE")
            held.set()
            let_go.wait(60)
            cursor.execute("COMMIT")
        connections.close_all()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(60)
    try:
        yield
    finally:
        let_go.set()
        thread.join()


def test_flush_says_what_is_not_written_in_time_and_nothing_is_lost(vendor: str) -> None:
    with nobody_writes(vendor):
        handles = [later.async_(n) for n in range(7)]
        with pytest.raises(NotFlushed, match=r"7 task\(s\) .*confirm=False.*, \.\.\.") as raised:
            django_ztask.flush(timeout=0.2)
    assert raised.value.ids == [handle.id for handle in handles]
    django_ztask.flush()
    assert Task.objects.count() == 7


def test_calls_wait_for_room(vendor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "MOST", 5)
    monkeypatch.setattr(journal, "CHUNK", 2)
    done: list[int] = []

    def calls() -> None:
        for n in range(20):
            later.async_(n)
            done.append(n)

    caller = threading.Thread(target=calls)
    with nobody_writes(vendor):
        caller.start()
        caller.join(0.5)
        assert caller.is_alive()
        assert len(done) <= 7, "five wait, two are on their way"
    caller.join(30)
    assert not caller.is_alive()
    django_ztask.flush()
    assert Task.objects.count() == 20


def test_a_row_that_the_database_refuses_is_named_and_stops_no_other(
    vendor: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("ztaskd"), "propagate", True)
    with connection.cursor() as cursor:
        if vendor == "postgresql":
            cursor.execute("ALTER TABLE django_ztask_task ADD CHECK (args NOT LIKE '%poison%')")
        else:
            cursor.execute(
                "CREATE TRIGGER no_poison BEFORE INSERT ON django_ztask_task WHEN NEW.args LIKE '%poison%' "
                "BEGIN SELECT RAISE(ABORT, 'CHECK constraint failed'); END"
            )
    handles = [later.async_("poison" if n == 25 else n) for n in range(50)]
    django_ztask.flush()
    written = set(Task.objects.values_list("uuid", flat=True))
    assert written == {handle.id for n, handle in enumerate(handles) if n != 25}
    [line] = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert handles[25].id in line
    assert add.name in line


def test_a_commit_that_raised_although_it_was_made_writes_nothing_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from django.db import OperationalError

    honest, failures = journal.insert, [1, 2]

    def insert(*args: object, **kwargs: object) -> None:
        honest(*args, **kwargs)  # type: ignore[arg-type]
        if failures:
            failures.pop()
            raise OperationalError("the connection is gone")

    monkeypatch.setattr(journal, "insert", insert)
    handles = [later.async_(n) for n in range(10)]
    django_ztask.flush()
    assert sorted(Task.objects.values_list("uuid", flat=True)) == sorted(handle.id for handle in handles)


def test_in_a_transaction_that_keeps_the_thread_out_flush_says_so_at_once(vendor: str) -> None:
    """On SQLite it would wait for itself."""
    if vendor == "postgresql":
        pytest.skip("there a transaction keeps nobody else from writing")
    with transaction.atomic():
        Order.objects.create(number=1)
        calls = threading.Thread(target=lambda: handles.append(later.async_(1)))
        handles: list[TaskHandle[int]] = []
        calls.start()
        calls.join()
        with pytest.raises(NotFlushed, match=r"1 task.*this transaction holds SQLite's lock"):
            django_ztask.flush()
        with pytest.raises(NotFlushed):
            handles[0].refresh()
        with pytest.raises(ResultTimeout, match="inside a transaction"):
            handles[0].result()
    django_ztask.flush()
    assert handles[0].refresh().status == "QUEUED"


def test_the_result_of_a_row_that_waits_is_waited_for_no_longer_than_it_may(vendor: str) -> None:
    later.async_(0)
    django_ztask.flush()
    with nobody_writes(vendor):
        handle = later.async_(1)
        began = time.monotonic()
        with pytest.raises(ResultTimeout, match="still QUEUED"):
            handle.result(timeout=0.2)
        assert 0.2 <= time.monotonic() - began < 4


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_what_a_killed_thread_has_left_is_written_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a greenlet, the thread can be killed at any moment. Here it dies before a commit, and after one."""
    honest, deaths = journal.insert, [1, 2]

    def insert(*args: object, **kwargs: object) -> None:
        if len(deaths) == 1:
            honest(*args, **kwargs)  # type: ignore[arg-type]
        if deaths:
            deaths.pop()
            raise SystemExit
        honest(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(journal, "insert", insert)
    made = []
    for n in range(3):
        made.append(later.async_(n).id)
        thread = unconfirmed._writers["default"]._thread
        assert thread is not None
        if n < 2:
            thread.join(30)
    django_ztask.flush()
    assert list(Task.objects.order_by("created").values_list("uuid", flat=True)) == made


def test_large_arguments_do_not_crowd_into_one_transaction(vendor: str, messages: Messages) -> None:
    with nobody_writes(vendor):
        for _ in range(5):
            later.async_("x" * (writer.CHARACTERS // 2))
    django_ztask.flush()
    assert Task.objects.count() == 5
    assert all(len(ids) == 1 for ids, _ in messages)
