"""Threads that record at the same moment share a commit: each has its row, once, in its order."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection, transaction

from django_ztask import together
from django_ztask.models import Task
from tests.integration.conftest import Messages
from tests.integration.crowd import Queue, everything, named
from tests.integration.helpers import race
from tests.project.shop.tasks import add

pytestmark = pytest.mark.both_databases


def test_many_threads_have_each_row_once_and_in_their_order(messages: Messages) -> None:
    handles = race(*[lambda own, n=n: [add.async_(n, b) for b in range(200)] for n in range(32)])
    made = [handle.id for some in handles for handle in some]
    assert everything() == sorted(made)
    assert named(messages) == sorted(made), "each is named once"
    assert len(messages) < len(made), "some have shared"
    order = {
        uuid: n for n, uuid in enumerate(Task.objects.order_by("created").values_list("uuid", flat=True))
    }
    for some in handles:
        places = [order[handle.id] for handle in some]
        assert places == sorted(places)


def test_who_waits_for_the_same_commit_is_in_one_message(messages: Messages) -> None:
    queue = Queue()
    queue.add(
        *[lambda n=n: add.async_(n) for n in range(5)], lambda: add.after(60, 1), lambda: add.after(50, 2)
    )
    queue.leave()
    handles = [call.ends() for call in queue.calls]
    due = Task.objects.get(uuid=handles[6].id).next_attempt
    assert messages == [([handle.id for handle in handles[:5]], due)]
    assert everything() == sorted(handle.id for handle in handles)


def test_no_more_than_its_share_goes_into_one_commit(
    messages: Messages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(together, "ROWS", 3)
    queue = Queue()
    queue.add(*[lambda n=n: add.async_(n) for n in range(7)])
    queue.leave()
    made = sorted(call.ends().id for call in queue.calls)
    assert everything() == named(messages) == made
    assert all(len(names) <= 3 for names, _ in messages)


def test_large_arguments_do_not_crowd_into_one_commit(messages: Messages) -> None:
    queue = Queue()
    queue.add(*[lambda: add.async_("x" * (together.CHARACTERS // 2)) for _ in range(4)])
    queue.leave()
    for call in queue.calls:
        call.ends()
    assert len(everything()) == 4
    assert all(len(names) == 1 for names, _ in messages)


def test_a_call_in_a_transaction_is_nobody_elses_business(messages: Messages) -> None:
    def in_transaction(own: Any) -> list[str]:
        for n in range(20):
            with transaction.atomic():
                add.async_(n)
                transaction.set_rollback(True)
        return []

    def alone(own: Any) -> list[str]:
        return [add.async_(n).id for n in range(20)]

    made = sorted(name for names in race(*[in_transaction, alone] * 4) for name in names)
    assert everything() == named(messages) == made


def test_who_has_its_statements_watched_writes_its_rows_itself() -> None:
    seen: list[str] = []

    def watch(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        seen.append(params[0])
        return execute(sql, params, many, context)

    queue = Queue()
    with connection.execute_wrapper(watch):
        handle = add.async_(1)
    assert seen == [handle.id] == everything()
    queue.leave()
