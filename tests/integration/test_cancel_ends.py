"""How a running task ends that was cancelled: in every way but success it is CANCELLED, and never runs again."""

from __future__ import annotations

import time

import pytest
from django.db import connection

from django_ztask import cancelling, journal, upkeep
from django_ztask.handle import TaskHandle
from django_ztask.lifecycle import Kind
from django_ztask.models import Attempt, Task
from tests.integration.helpers import (
    BOOT,
    claim,
    claim_new,
    ending,
    failed,
    finish,
    new_task,
    record,
    row,
    status,
)

pytestmark = pytest.mark.both_databases

ONCE = {"at_most_once": True}


def cancel(task_id: str) -> bool:
    return TaskHandle(task_id).cancel()


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.SUCCESS])
def test_every_end_of_what_was_asked_for_is_cancelled_but_success(kind: Kind) -> None:
    task = claim_new()
    assert cancel(task.id)
    assert finish(task, kind, exception="why") == []
    written = row(task.id)
    assert (written.status, written.node, written.failed) == ("CANCELLED", BOOT, None)
    assert written.finished is not None
    assert claim(task.id) == []
    assert journal.replay_failed(connection, time.time(), 5) == (0, 0)


def test_what_returned_all_the_same_has_succeeded() -> None:
    task = claim_new()
    assert cancel(task.id)
    assert finish(task, Kind.SUCCESS, result="1") == []
    assert (status(task.id), row(task.id).result) == ("SUCCEEDED", "1")
    assert not cancel(task.id)


def test_a_task_that_cancels_itself_costs_no_retry_and_leaves_an_attempt() -> None:
    task = claim_new(retry_count=2)
    assert finish(task, Kind.CANCELLED, exception="TaskCancelled: by itself") == []
    written = row(task.id)
    assert (written.status, written.retry_count, written.failures) == ("CANCELLED", 2, 0)
    assert (written.interruptions, written.crashes, written.last_exception) == (0, 0, None)
    [attempt] = Attempt.objects.all()
    assert (attempt.kind, attempt.exception) == ("cancelled", "TaskCancelled: by itself")


@pytest.mark.parametrize("kind", [Kind.FAILURE, Kind.INTERRUPTED, Kind.CANCELLED])
def test_an_end_that_is_written_again_is_done_and_not_fenced(kind: Kind) -> None:
    task = claim_new()
    assert cancel(task.id)
    end = ending(task, kind)
    assert journal.finish(connection, BOOT, [end]) == []
    assert journal.finish(connection, BOOT, [end]) == []
    assert Attempt.objects.count() == 1


def test_what_a_dead_node_was_to_end_is_cancelled_and_the_rest_runs_again() -> None:
    asked, once, usual = claim_new(), claim_new(policy=ONCE), claim_new()
    journal.mark(connection, BOOT, once.id, once.attempt, time.time())
    assert cancel(asked.id)
    assert cancel(once.id)
    held = claim_new()
    assert cancel(held.id)
    assert journal.recover(connection, BOOT, [held.id]) == [usual.id], "never what was asked for"
    assert journal.fail_interrupted(connection, BOOT, time.time(), [held.id]) == []
    settled = cancelling.settle(connection, BOOT, time.time(), [held.id])
    assert sorted(settled) == sorted((task.id, task.function_name) for task in (asked, once))
    assert [status(task.id) for task in (asked, once, usual, held)] == [
        "CANCELLED",
        "CANCELLED",
        "QUEUED",
        "RUNNING",
    ]
    assert {attempt.kind for attempt in Attempt.objects.all()} == {"cancelled"}
    assert Attempt.objects.count() == 2


def test_an_at_most_once_task_that_was_asked_for_may_not_start() -> None:
    task = claim_new(policy=ONCE)
    assert cancel(task.id)
    assert not journal.mark(connection, BOOT, task.id, task.attempt, time.time())


def test_an_end_that_the_database_refuses_in_any_words_is_cancelled_too() -> None:
    task = claim_new()
    upkeep.give_up(connection, BOOT, ending(task, Kind.CANCELLED), "no words")
    assert (status(task.id), row(task.id).failed) == ("CANCELLED", None)


def test_a_failure_that_the_database_refuses_in_any_words_is_cancelled_when_that_was_asked_for() -> None:
    task = claim_new()
    assert cancel(task.id)
    upkeep.give_up(connection, BOOT, ending(task, Kind.FAILURE), "no words")
    assert (status(task.id), row(task.id).failed) == ("CANCELLED", None)


def test_a_replay_forgets_that_its_end_was_asked_for() -> None:
    task_id = failed()
    Task.objects.filter(uuid=task_id).update(cancel_requested=row(task_id).finished)
    assert journal.replay_failed(connection, time.time(), 5) == (1, 0)
    assert row(task_id).cancel_requested is None
    [task] = claim(task_id)
    finish(task, Kind.FAILURE)
    assert status(task_id) == "QUEUED"


def test_callers_with_the_code_of_before_leave_the_column_out() -> None:
    """(What INSERT does, too.)"""
    [task_id] = record(new_task(1))
    assert row(task_id).cancel_requested is None
