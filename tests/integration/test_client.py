"""What a call leaves behind: its row, its message, or neither, whatever its transaction does."""

from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.exceptions import SynchronousOnlyOperation
from django.db import DatabaseError, connection, connections, transaction
from django.test import override_settings

from django_ztask import ids
from django_ztask.errors import ArgumentError
from django_ztask.models import Task
from tests.integration.conftest import Messages
from tests.integration.helpers import forget_connections, race, row
from tests.project.shop.models import Order
from tests.project.shop.tasks import add

pytestmark = pytest.mark.both_databases


def everything() -> set[str]:
    return set(Task.objects.values_list("uuid", flat=True))


def test_a_call_is_a_row_and_a_message_with_its_name(messages: Messages) -> None:
    before = time.time()
    handle = add.async_(1, b=2)
    after = time.time()
    assert handle.status == "QUEUED"
    written = row(handle.id)
    assert (written.args, written.kwargs, written.status) == ("[1]", '{"b":2}', "QUEUED")
    assert written.created is not None
    assert before <= written.next_attempt <= after, "due when it was called"
    assert written.next_attempt <= written.created.timestamp() + 1e-6
    assert messages == [([handle.id], None)]


def test_a_later_call_is_announced_by_its_due_time_not_by_its_name(messages: Messages) -> None:
    before = time.time()
    handle = add.after(60, 1)
    due = row(handle.id).next_attempt
    assert due is not None
    assert before + 59.99 < due < time.time() + 60.01
    assert messages == [([], due)]


def test_the_options_of_the_call_stand_in_the_row() -> None:
    plain = row(add.async_(1).id)
    assert (plain.queue, plain.priority, plain.retry_count, plain.meta) == ("default", 0, 2, None)
    chosen = add.using(queue="mail", priority=7, retry_count=9, retry_after=3, backoff=2.0, timeout=1.5)
    written = row(chosen.async_(1).id)
    assert (written.queue, written.priority, written.retry_count) == ("mail", 7, 9)
    assert written.meta == {"retry_count": 9, "retry_after": 3, "backoff": 2.0, "timeout": 1.5}


def test_map_is_rows_in_order_and_a_message_for_each_500(messages: Messages) -> None:
    handles = add.map(range(1200))
    stored = Task.objects.order_by("created").values_list("uuid", "args")
    assert list(stored) == [(handle.id, f"[{n}]") for n, handle in enumerate(handles)]
    ids = [handle.id for handle in handles]
    assert messages == [(ids[:500], None), (ids[500:1000], None), (ids[1000:], None)]


def test_an_argument_that_cannot_be_carried_leaves_neither_row_nor_message(messages: Messages) -> None:
    with pytest.raises(ArgumentError, match="argument 1"):
        add.map([1, 2, (lambda: None,)])
    with pytest.raises(ArgumentError):
        add.async_(lambda: None)
    with override_settings(ZTASKD_PICKLE=False), pytest.raises(ArgumentError):
        add.async_((1, 2))
    assert (everything(), messages) == (set(), [])


def test_what_the_database_refuses_reaches_the_caller_and_sends_nothing(messages: Messages) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE django_ztask_task RENAME TO elsewhere")
    with pytest.raises(DatabaseError):
        add.async_(1)
    assert messages == []


def test_of_two_callers_both_have_their_rows() -> None:
    handles = race(*[lambda own, n=n: [add.async_(n) for _ in range(25)] for n in range(4)])
    assert {handle.id for some in handles for handle in some} == everything()
    assert Task.objects.count() == 100


def test_created_follows_the_order_of_calls_whatever_their_spelling() -> None:
    made = [
        add.async_(0),
        *add.map([1, 2, 3]),
        add.delay(4),
        add.after(5, 5),
        add.using(priority=1).async_(6),
    ]
    ordered = Task.objects.order_by("created").values_list("uuid", flat=True)
    assert list(ordered) == [handle.id for handle in made]


@pytest.mark.parametrize("back", [0.5, 3600.0])
def test_a_clock_that_was_set_back_does_not_make_tasks_due_later(
    back: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`created` goes on from the latest id; the due time must not, or the process's tasks wait an hour."""
    monkeypatch.setattr(ids, "_last", int((time.time() + back) * 1e6))
    first, second = add.async_(1), add.after(5, 2)
    now = time.time()
    assert Task.objects.get(uuid=first.id).next_attempt <= now  # type: ignore[operator]
    assert Task.objects.get(uuid=second.id).next_attempt <= now + 5  # type: ignore[operator]


def test_names_sent_at_once_are_due_at_once() -> None:
    """A node claims only what is due by its clock: a call that is due now is never due in the future."""
    for handles in ([add.async_(1)], add.map(range(500))):
        now = time.time()
        assert all(due <= now for due in dues(handles))


def dues(handles: list[Any]) -> list[float]:
    found = Task.objects.filter(uuid__in=[handle.id for handle in handles])
    return list(found.values_list("next_attempt", flat=True))


def test_a_coroutine_awaits_aasync(messages: Messages) -> None:
    async def main() -> list[Any]:
        handles = [await add.aasync(1, b=2), await add.aasync(3)]
        await sync_to_async(forget_connections)()
        return handles

    handles = asyncio.run(main())
    assert {handle.id for handle in handles} == everything()
    assert messages == [([handle.id], None) for handle in handles]


def test_many_coroutines_await_at_once(messages: Messages) -> None:
    async def main() -> None:
        await asyncio.gather(*[add.aasync(n) for n in range(50)])
        await sync_to_async(forget_connections)()

    asyncio.run(main())
    assert Task.objects.count() == len(messages) == 50


def test_a_coroutine_that_calls_async_is_told_by_django_and_nothing_is_recorded(messages: Messages) -> None:
    async def main() -> None:
        with pytest.raises(SynchronousOnlyOperation):
            add.async_(1)
        with pytest.raises(SynchronousOnlyOperation):
            add.map([1, 2])
        with pytest.raises(SynchronousOnlyOperation):
            add.after(5, 1)

    connection.close()
    asyncio.run(main())
    assert (everything(), messages) == (set(), [])


def test_the_journal_may_have_a_file_of_its_own(
    tmp_path: Path, templates: Any, contents: Any, messages: Messages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then a transaction on another database neither holds tasks back nor takes them back."""
    shutil.copy(templates(contents), tmp_path / "journal.sqlite3")
    settings = {
        **connections.settings["default"],
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(tmp_path / "journal.sqlite3"),
    }
    monkeypatch.setitem(connections.settings, "journal", settings)
    with override_settings(ZTASKD_DATABASE="journal"):
        with transaction.atomic():
            Order.objects.create(number=1)
            handle = add.async_(1)
            assert messages == [([handle.id], None)]
            transaction.set_rollback(True)
        assert handle.refresh().status == "QUEUED"
        with transaction.atomic(using="journal"):
            gone = add.async_(2)
            transaction.set_rollback(True, using="journal")
    found = Task.objects.using("journal").values_list("uuid", flat=True)
    assert list(found) == [handle.id]
    assert gone.id not in everything()
    assert Order.objects.count() == Task.objects.count() == 0
    connections["journal"].close()
    del connections["journal"]
