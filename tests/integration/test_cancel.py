"""cancel: a queued row is over at once, a running one asks for its end and never goes back to the queue."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, transaction
from django.test import override_settings

from django_ztask import cancelling, journal, transport
from django_ztask.errors import ResultUnavailable
from django_ztask.handle import TaskHandle
from django_ztask.lifecycle import Kind
from tests.integration.helpers import (
    BOOT,
    OTHER,
    claim,
    claim_new,
    finish,
    forget_connections,
    row,
    status,
)
from tests.project.shop.tasks import add

pytestmark = pytest.mark.both_databases


@pytest.fixture(autouse=True)
def told(messages: object) -> list[list[str]]:
    """What the nodes are told of cancelled tasks."""
    heard: list[list[str]] = []
    transport.deliver_to(lambda ids, later: None, lambda ids: heard.append(list(ids)))
    return heard


def cancel(task_id: str) -> bool:
    return TaskHandle(task_id).cancel()


def test_a_queued_task_is_cancelled_at_once_and_cannot_be_claimed(told: list[list[str]]) -> None:
    handle = add.async_(1)
    assert handle.cancel()
    assert handle.status == "CANCELLED"
    written = row(handle.id)
    assert (written.status, written.attempts, written.node, written.failed) == ("CANCELLED", 0, None, None)
    assert written.finished is not None
    assert claim(handle.id) == []
    assert journal.due(connection, time.time() + 1, 10) == []
    assert told == [], "no node has it"
    with pytest.raises(ResultUnavailable, match="was cancelled"):
        handle.result(5)


def test_a_task_for_later_is_cancelled_like_any_other() -> None:
    handle = add.after(3600, 1)
    assert handle.cancel()
    assert status(handle.id) == "CANCELLED"
    assert journal.next_due(connection, time.time()) is None


def test_a_running_task_is_asked_for_and_its_node_told(told: list[list[str]]) -> None:
    task = claim_new()
    handle: TaskHandle[object] = TaskHandle(task.id)
    assert handle.cancel()
    assert handle.status == "RUNNING"
    assert row(task.id).cancel_requested is not None
    assert told == [[task.id]]
    assert cancelling.asked(connection, BOOT) == [task.id]
    assert cancelling.asked(connection, BOOT, ["another", task.id]) == [task.id]
    assert cancelling.asked(connection, BOOT, ["another"]) == []
    assert cancelling.asked(connection, OTHER) == cancelling.asked(connection, OTHER, [task.id]) == []


def test_cancelling_twice_is_cancelling_once() -> None:
    queued, running = add.async_(1), TaskHandle[int](claim_new().id)
    assert [queued.cancel(), running.cancel()] == [True, True]
    before = [row(handle.id).cancel_requested for handle in (queued, running)]
    assert [queued.cancel(), running.cancel()] == [True, True]
    assert [row(handle.id).cancel_requested for handle in (queued, running)] == before
    assert (queued.status, running.status) == ("CANCELLED", "RUNNING")


@pytest.mark.parametrize(("kind", "ended"), [(Kind.SUCCESS, "SUCCEEDED"), (Kind.REFUSED, "FAILED")])
def test_what_has_ended_stays_as_it_is_and_the_answer_is_no(kind: Kind, ended: str) -> None:
    task = claim_new()
    finish(task, kind)
    handle: TaskHandle[object] = TaskHandle(task.id)
    assert not handle.cancel()
    assert handle.status == ended
    assert row(task.id).cancel_requested is None


def test_a_task_that_is_not_there_cannot_be_cancelled() -> None:
    with pytest.raises(ResultUnavailable, match="there is no task"):
        cancel("nobody")


def test_in_a_transaction_the_nodes_are_told_once_when_it_commits(told: list[list[str]]) -> None:
    running = [claim_new().id for _ in range(3)]
    queued = add.async_(1)
    with transaction.atomic():
        assert [cancel(task_id) for task_id in (*running, queued.id)] == [True] * 4
        assert told == []
    assert told == [running]
    assert status(queued.id) == "CANCELLED"


def test_a_cancel_that_is_rolled_back_changes_nothing(told: list[list[str]]) -> None:
    task, queued = claim_new(), add.async_(1)
    kept = claim_new()
    with transaction.atomic():
        assert cancel(kept.id)
        with suppress(ZeroDivisionError), transaction.atomic():
            assert [cancel(task.id), queued.cancel()] == [True, True]
            raise ZeroDivisionError
    assert told == [[kept.id, task.id]], "which is one word too many, and believed by nobody"
    assert cancelling.asked(connection, BOOT) == [kept.id]
    assert row(task.id).cancel_requested is None
    assert queued.refresh().status == "QUEUED"
    assert [each.id for each in claim(queued.id)] == [queued.id]


def test_in_a_manual_transaction_nobody_is_told_and_the_row_says_it(told: list[list[str]]) -> None:
    task = claim_new()
    transaction.set_autocommit(False)
    try:
        assert cancel(task.id)
        transaction.commit()
    finally:
        transaction.set_autocommit(True)
    assert told == []
    assert cancelling.asked(connection, BOOT) == [task.id]


def test_a_coroutine_awaits_acancel() -> None:
    task_id = add.async_(1).id

    async def main() -> bool:
        cancelled = await TaskHandle[int](task_id).acancel()
        await sync_to_async(forget_connections)()
        return cancelled

    assert asyncio.run(main())
    assert status(task_id) == "CANCELLED"


def test_what_has_no_row_has_nothing_to_cancel() -> None:
    with override_settings(ZTASKD_ALWAYS_EAGER=True):
        assert not add.async_(1).cancel()
    with override_settings(ZTASKD_DISABLED=True):
        assert not add.async_(1).cancel()


@pytest.mark.usefixtures("writing_thread")
def test_rows_that_are_not_written_yet_are_waited_for() -> None:
    handles = [add.using(confirm=False).async_(n) for n in range(20)]
    assert [handle.cancel() for handle in handles] == [True] * 20
    assert {status(handle.id) for handle in handles} == {"CANCELLED"}
