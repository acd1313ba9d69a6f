"""recover, replay_failed, fail_unknown: how rows come back into the queue, and how some leave it."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.db import connection

from django_ztask import journal, upkeep
from django_ztask.lifecycle import Kind
from django_ztask.models import Attempt, Task
from tests.integration.helpers import (
    BOOT,
    OTHER,
    claim,
    claim_new,
    failed,
    finish,
    later,
    new_task,
    race,
    record,
    row,
    status,
)

pytestmark = pytest.mark.both_databases

NOW = 1_700_000_000.0
UNKNOWN = {"not.here"}


def test_recovery_queues_what_a_dead_boot_had_claimed_at_no_cost() -> None:
    dead = [claim_new().id for _ in range(3)]
    alive, done = claim_new(boot=OTHER), claim_new()
    finish(done)
    [waiting] = record()
    assert sorted(journal.recover(connection, BOOT)) == sorted(dead)
    for task_id in dead:
        written = row(task_id)
        assert (written.status, written.node, written.retry_count) == ("QUEUED", None, 2)
        assert (written.attempts, written.failures, written.crashes, written.interruptions) == (1, 0, 0, 0)
    assert [status(task_id) for task_id in (alive.id, done.id, waiting)] == ["RUNNING", "SUCCEEDED", "QUEUED"]
    assert Attempt.objects.count() == 0


def test_recovery_of_a_living_node_leaves_what_it_holds() -> None:
    held, lost = claim_new(), claim_new()
    assert journal.recover(connection, BOOT, {held.id: held.attempt}) == [lost.id]
    assert (status(held.id), status(lost.id)) == ("RUNNING", "QUEUED")
    assert journal.recover(connection, BOOT, [held.id, "not-ours"]) == []


def test_what_was_recovered_runs_as_its_next_attempt() -> None:
    task = claim_new()
    journal.recover(connection, BOOT)
    [again] = claim(task.id, boot=OTHER)
    assert (again.attempt, again.retries_left, again.due) == (2, task.retries_left, task.due)


def test_the_holders_are_the_boots_with_running_rows() -> None:
    assert journal.holders(connection) == set()
    claim_new()
    claim_new(boot=OTHER)
    finish(claim_new(boot="boot-3"), boot="boot-3")
    assert journal.holders(connection) == {BOOT, OTHER}


def test_of_two_who_recover_a_dead_boot_each_row_goes_to_one() -> None:
    dead = {claim_new().id for _ in range(40)}
    first, second = race(*[lambda own: journal.recover(own, BOOT)] * 2)
    assert len(first) + len(second) == 40
    assert set(first) | set(second) == dead


def test_a_replay_gives_every_failed_row_its_full_retries() -> None:
    plain = failed()
    chosen = failed(policy={"retry_count": 7.0, "backoff": 2.0})
    none = failed(policy={"retry_count": 0})
    timed = failed(policy={"timeout": 1.0})
    others = [record()[0], claim_new().id]
    assert journal.replay_failed(connection, NOW, 5) == (4, 0)
    assert [row(task_id).retry_count for task_id in (plain, chosen, none, timed)] == [5, 7, 0, 5]
    for task_id in (plain, chosen, none, timed):
        written = row(task_id)
        assert (written.status, written.next_attempt, written.replays) == ("QUEUED", NOW, 1)
        assert (written.failed, written.finished, written.node) == (None, None, None)
        assert (written.attempts, written.failures) == (1, 1), "what happened stays counted"
        assert written.last_exception == "ValueError: no stock"
    assert [row(task_id).replays for task_id in others] == [0, 0]
    assert Attempt.objects.count() == 4


def test_replayed_rows_start_in_the_order_of_their_calls() -> None:
    moments = [NOW - 50 + n for n in (3, 1, 4, 0, 5, 2)]
    made = {moment: failed(created=moment, due=NOW - moment % 7) for moment in moments}
    journal.replay_failed(connection, NOW, 5)
    assert journal.due(connection, NOW, 10) == [made[moment] for moment in sorted(moments)]


def test_a_replayed_row_can_fail_and_be_replayed_again() -> None:
    task_id = failed()
    for replays in (1, 2):
        journal.replay_failed(connection, time.time(), 0)
        [task] = claim(task_id)
        assert (task.replays, task.attempt, task.retries_left) == (replays, replays + 1, 0)
        finish(task, Kind.FAILURE)
        assert status(task_id) == "FAILED"
    assert Attempt.objects.filter(task_id=task_id).count() == 3


def test_of_two_who_replay_each_row_is_replayed_once() -> None:
    for _ in range(30):
        failed()
    counts = race(*[lambda own: journal.replay_failed(own, NOW, 5)] * 2)
    assert sum(count for count, _ in counts) == 30
    assert set(Task.objects.values_list("replays", flat=True)) == {1}


def test_a_late_finish_cannot_touch_a_replayed_row() -> None:
    task = claim_new(retry_count=0)
    finish(task, Kind.FAILURE)
    journal.replay_failed(connection, NOW, 5)
    finish(task, Kind.SUCCESS)
    assert (status(task.id), row(task.id).retry_count) == ("QUEUED", 5)


@pytest.mark.parametrize(
    ("options", "replays", "fails"),
    [
        ({"due": NOW - 1}, 0, True),
        ({"due": NOW}, 0, True),
        ({"due": NOW + 1}, 0, False),
        ({"due": NOW + 99}, 1, True),
        ({"due": NOW - 1, "function": "other.here"}, 0, False),
        ({"due": NOW - 1, "function": "other.here"}, 1, False),
    ],
)
def test_an_unknown_function_fails_an_hour_after_it_was_due_or_at_once_when_replayed(
    options: dict[str, Any], replays: int, fails: bool
) -> None:
    [task_id] = record(new_task(1, **{"function": "not.here", **options}))
    Task.objects.update(replays=replays)
    gone = upkeep.fail_unknown(connection, NOW + 3600, NOW, UNKNOWN)
    assert gone == ([(task_id, "not.here")] if fails else [])
    written = row(task_id)
    assert written.status == ("FAILED" if fails else "QUEUED")
    if fails:
        assert written.failed is not None
        assert written.failed.timestamp() == NOW + 3600
        assert written.finished == written.failed
        assert "no node knows" in str(written.last_exception)


@pytest.mark.parametrize("state", ["RUNNING", "SUCCEEDED", "FAILED", "CANCELLED"])
def test_only_queued_rows_fail_as_unknown(state: str) -> None:
    record(new_task(1, function="not.here", due=NOW - 9))
    Task.objects.update(status=state)
    assert upkeep.fail_unknown(connection, NOW, NOW, UNKNOWN) == []
    assert upkeep.fail_unknown(connection, NOW, NOW, ()) == []


def test_of_two_who_fail_unknown_rows_each_row_is_reported_once() -> None:
    record(*[new_task(n, function="not.here", due=NOW - 9) for n in range(30)])
    first, second = race(*[lambda own: upkeep.fail_unknown(own, NOW, NOW, UNKNOWN)] * 2)
    assert len(first) + len(second) == len(set(first) | set(second)) == 30


def test_a_claim_and_the_end_of_an_unknown_row_never_both_happen() -> None:
    for _ in range(10):
        [task_id] = record(new_task(1, function="not.here", due=NOW - 9))
        claimed, gone = race(
            lambda own, task_id=task_id: journal.claim(own, BOOT, [task_id], later()),
            lambda own: upkeep.fail_unknown(own, NOW, NOW, UNKNOWN),
        )
        assert (len(claimed), len(gone)) in [(1, 0), (0, 1)]
        assert status(task_id) == ("RUNNING" if claimed else "FAILED")


def test_a_claim_and_a_refusal_never_both_happen() -> None:
    for _ in range(10):
        [task_id] = record()
        claimed, _none = race(
            lambda own, task_id=task_id: journal.claim(own, BOOT, [task_id], later()),
            lambda own, task_id=task_id: upkeep.refuse(own, task_id, NOW, "it cannot be read"),
        )
        assert status(task_id) == ("RUNNING" if claimed else "FAILED")
        assert (row(task_id).last_exception is None) == bool(claimed)


def test_an_unknown_row_says_why_its_function_was_not_found() -> None:
    [task_id] = record(new_task(1, function="not.here", due=NOW - 9))
    why = "no node knows this task function: importing not failed: OSError(24)"
    upkeep.fail_unknown(connection, NOW, NOW, UNKNOWN, why)
    assert row(task_id).last_exception == why
