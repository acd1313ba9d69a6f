"""confirm=False: who waits for what, what is written in the end, and what an error costs. On both databases."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from django.db import connection, transaction
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

import django_ztask
from django_ztask import unconfirmed
from django_ztask.errors import ArgumentError
from django_ztask.models import Task
from tests.integration.conftest import Messages
from tests.integration.crowd import nobody_else_writes
from tests.integration.helpers import claim, race, row
from tests.project.shop.tasks import add

pytestmark = [pytest.mark.both_databases, pytest.mark.usefixtures("writing_thread")]

later = add.using(confirm=False)


def test_flush_returns_when_all_rows_are_committed_in_the_order_of_the_calls(messages: Messages) -> None:
    with nobody_else_writes():
        handles = [later.async_(n) for n in range(2000)]
    assert django_ztask.flush() is None
    written = Task.objects.order_by("created").values_list("uuid", "args")
    assert list(written) == [(handle.id, f"[{n}]") for n, handle in enumerate(handles)]
    assert [name for ids, _ in messages for name in ids] == [handle.id for handle in handles]
    assert len(messages) <= 6, "what has gathered is committed and announced in groups of 500"


def test_the_row_is_what_a_confirmed_call_writes(messages: Messages) -> None:
    chosen = later.using(queue="mail", priority=7, retry_count=9, backoff=2.0)
    handle, due = chosen.async_(1, b=2), later.after(60, 3)
    django_ztask.flush()
    written = row(handle.id)
    assert (written.args, written.kwargs, written.queue, written.priority) == ("[1]", '{"b":2}', "mail", 7)
    assert (written.retry_count, written.meta) == (9, {"retry_count": 9, "backoff": 2.0})
    assert [task.id for task in claim(handle.id)] == [handle.id]
    assert [moment for _, moment in messages if moment] == [row(due.id).next_attempt]


def test_a_handle_waits_for_the_row_it_is_asked_about() -> None:
    handle = later.async_(1)
    assert handle.refresh().status == "QUEUED"


def test_in_a_transaction_it_changes_nothing() -> None:
    with suppress(RuntimeError), transaction.atomic():
        inside = later.async_(1)
        assert Task.objects.filter(uuid=inside.id).exists()
        raise RuntimeError
    assert not Task.objects.exists()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        kept = later.async_(2)
    assert list(Task.objects.values_list("uuid", flat=True)) == [kept.id]
    assert not unconfirmed._writers


def test_in_a_transaction_begun_by_hand_it_changes_nothing() -> None:
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        handle = later.async_(1)
        cursor.execute("ROLLBACK")
    assert not Task.objects.filter(uuid=handle.id).exists()
    assert not unconfirmed._writers


def test_who_counts_statements_sees_the_row_written() -> None:
    with CaptureQueriesContext(connection) as captured:
        later.async_(1)
    assert [query for query in captured.captured_queries if "INSERT INTO django_ztask_task" in query["sql"]]


def test_the_setting_and_the_option_decide_and_the_option_comes_first() -> None:
    with override_settings(ZTASKD_CONFIRM=False):
        add.async_(1)
        assert unconfirmed._writers
        django_ztask.flush()
        unconfirmed._writers["default"]._thread.join(30)  # type: ignore[union-attr]
        unconfirmed._writers.clear()
        add.using(confirm=True).async_(2)
        assert not unconfirmed._writers
    assert Task.objects.count() == 2


@pytest.mark.parametrize("wrong", ["no", 0, 1.0])
def test_confirm_is_true_or_false(wrong: object) -> None:
    with pytest.raises(TypeError, match="confirm must be True or False"):
        add.using(confirm=wrong)


def test_what_is_wrong_with_the_arguments_is_said_by_the_call() -> None:
    with pytest.raises(ArgumentError):
        later.async_(lambda: None)
    with pytest.raises(TypeError, match="missing a required argument"):
        later.async_()


def test_the_arguments_are_those_of_the_moment_of_the_call() -> None:
    basket = [1]
    handle = later.async_(basket)
    basket.append(2)
    django_ztask.flush()
    assert row(handle.id).args == "[[1]]"


def test_a_coroutine_may_call_it_as_it_is() -> None:
    async def calls() -> str:
        return later.async_(1).id

    task_id = asyncio.run(calls())
    django_ztask.flush()
    assert row(task_id).status == "QUEUED"


def test_each_row_of_many_threads_is_there_once_and_in_its_threads_order() -> None:
    def calls(own: object) -> list[str]:
        return [later.async_(n).id for n in range(100)]

    each = race(*[calls] * 16)
    django_ztask.flush()
    order = list(Task.objects.order_by("created").values_list("uuid", flat=True))
    assert sorted(order) == sorted(task_id for ids in each for task_id in ids)
    place = {task_id: n for n, task_id in enumerate(order)}
    for ids in each:
        assert sorted(ids, key=place.__getitem__) == ids
