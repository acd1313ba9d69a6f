"""at_most_once in the journal: marked before it starts, and never queued again from there on."""

from __future__ import annotations

import time

import pytest
from django.db import connection

from django_ztask import journal, upkeep
from django_ztask.lifecycle import Kind
from django_ztask.models import Attempt
from tests.integration.helpers import BOOT, OTHER, claim_new, ending, failed, finish, row, status

pytestmark = pytest.mark.both_databases

ONCE = {"at_most_once": True}


def mark(task, boot=BOOT, attempt=None):
    return journal.mark(connection, boot, task.id, task.attempt if attempt is None else attempt, time.time())


def test_only_who_holds_the_attempt_may_mark_it() -> None:
    task = claim_new(policy=ONCE)
    assert task.at_most_once
    assert not mark(task, boot=OTHER)
    assert not mark(task, attempt=task.attempt + 1)
    assert row(task.id).started is None
    assert mark(task)
    assert row(task.id).started is not None


def test_of_a_dead_nodes_tasks_only_those_that_had_started_once_are_failed() -> None:
    started, waiting, usual = claim_new(policy=ONCE), claim_new(policy=ONCE), claim_new()
    assert mark(started)
    assert mark(usual)
    assert journal.fail_interrupted(connection, BOOT, time.time()) == [(started.id, started.function_name)]
    assert sorted(journal.recover(connection, BOOT)) == sorted([waiting.id, usual.id])
    failed_row = row(started.id)
    assert (failed_row.status, failed_row.interruptions, failed_row.failures) == ("FAILED", 1, 0)
    assert "at_most_once" in failed_row.last_exception
    assert failed_row.failed is not None
    [attempt] = Attempt.objects.all()
    assert (attempt.task_id, attempt.kind, attempt.node) == (started.id, Kind.INTERRUPTED.value, BOOT)


def test_a_replay_of_all_leaves_out_what_had_started_once() -> None:
    task = claim_new(policy=ONCE)
    mark(task)
    journal.fail_interrupted(connection, BOOT, time.time())
    usual = failed()
    assert journal.replay_failed(connection, time.time(), 5) == (1, 1)
    assert (status(task.id), status(usual)) == ("FAILED", "QUEUED")


def test_what_was_refused_before_it_started_is_replayed() -> None:
    task = claim_new(policy=ONCE, retry_count=0)
    finish(task, Kind.REFUSED, exception="its MAC does not verify")
    assert journal.replay_failed(connection, time.time(), 5) == (1, 0)
    assert status(task.id) == "QUEUED"


def test_one_that_was_started_is_never_queued_again_whoever_lost_it() -> None:
    """Its end was committed, and undone by a crash of the database: the living node finds it, and holds it not."""
    started, held = claim_new(policy=ONCE), claim_new(policy=ONCE)
    assert mark(started)
    assert mark(held)
    assert journal.recover(connection, BOOT, [held.id]) == []
    failed_ones = journal.fail_interrupted(connection, BOOT, time.time(), [held.id])
    assert [task_id for task_id, _ in failed_ones] == [started.id]
    assert (status(started.id), status(held.id)) == ("FAILED", "RUNNING")


def test_one_that_was_handed_back_unknown_has_not_started() -> None:
    task = claim_new(policy=ONCE)
    assert mark(task)
    finish(task, Kind.UNKNOWN, exception="no such function here")
    assert row(task.id).started is None
    [again] = journal.claim(connection, OTHER, [task.id], time.time() + 60)
    assert journal.fail_interrupted(connection, OTHER, time.time()) == []
    assert journal.recover(connection, OTHER) == [again.id]


def test_one_whose_end_could_not_be_written_is_not_replayed() -> None:
    task = claim_new(policy=ONCE)
    assert mark(task)
    upkeep.give_up(connection, BOOT, ending(task, Kind.FAILURE), "refused")
    assert status(task.id) == "FAILED"
    assert journal.replay_failed(connection, time.time(), 5) == (0, 1)
