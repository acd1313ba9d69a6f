"""finish: each verdict is written once, by the attempt that holds the row and nobody else."""

from __future__ import annotations

import json

import pytest
from django.db import connection, transaction
from django.forms.models import model_to_dict
from msgspec import structs

from django_ztask import journal
from django_ztask.lifecycle import Kind
from django_ztask.models import Attempt, Task
from django_ztask.rows import Claimed
from tests.integration.helpers import (
    BOOT,
    OTHER,
    claim,
    claim_new,
    ending,
    finish,
    new_task,
    race,
    record,
    row,
    status,
)

pytestmark = pytest.mark.both_databases


def test_a_success_keeps_its_result_and_leaves_no_attempt() -> None:
    task = claim_new()
    assert finish(task, result='{"sum":3}') == []
    written = row(task.id)
    assert (written.status, written.result, written.node) == ("SUCCEEDED", '{"sum":3}', BOOT)
    assert (written.failures, written.failed, written.last_exception) == (0, None, None)
    assert written.started is not None
    assert written.finished is not None
    assert Attempt.objects.count() == 0


def test_a_failure_with_retries_left_is_queued_again_and_recorded() -> None:
    task = claim_new(retry_count=2)
    end = ending(task, Kind.FAILURE)
    assert journal.finish(connection, BOOT, [end]) == []
    written = row(task.id)
    assert (written.status, written.retry_count, written.next_attempt) == ("QUEUED", 1, end.verdict.due)
    assert (written.node, written.finished, written.failed) == (None, None, None)
    assert (written.attempts, written.failures, written.interruptions) == (1, 1, 0)
    assert (written.last_exception, written.traceback) == ("ValueError: no stock", "Traceback: no stock")
    [attempt] = Attempt.objects.all()
    assert (attempt.task_id, attempt.attempt, attempt.kind, attempt.node) == (task.id, 1, "failure", BOOT)
    assert (attempt.exception, attempt.traceback) == ("ValueError: no stock", "Traceback: no stock")


def test_every_failed_attempt_is_recorded_and_the_last_one_fails_the_task() -> None:
    [task_id] = record(new_task(1, retry_count=2))
    for attempt in (1, 2, 3):
        [task] = claim(task_id)
        assert (task.attempt, task.retries_left) == (attempt, 3 - attempt)
        assert finish(task, Kind.FAILURE, exception=f"ValueError: {attempt}") == []
    written = row(task_id)
    assert (written.status, written.retry_count, written.failures) == ("FAILED", 0, 3)
    assert written.failed == written.finished is not None
    assert written.last_exception == "ValueError: 3"
    recorded = Attempt.objects.order_by("attempt").values_list("attempt", "exception")
    assert list(recorded) == [(n, f"ValueError: {n}") for n in (1, 2, 3)]


def test_a_success_after_a_failure_keeps_the_failures_text() -> None:
    [task_id] = record()
    finish(claim(task_id)[0], Kind.FAILURE)
    finish(claim(task_id)[0], Kind.SUCCESS)
    assert (row(task_id).status, row(task_id).last_exception) == ("SUCCEEDED", "ValueError: no stock")


@pytest.mark.parametrize(
    ("kind", "interruptions", "attempts"),
    [(Kind.INTERRUPTED, 1, 1), (Kind.NOT_STARTED, 0, 0), (Kind.UNKNOWN, 0, 0)],
)
def test_what_is_handed_back_costs_nothing(kind: Kind, interruptions: int, attempts: int) -> None:
    task = claim_new()
    assert finish(task, kind) == []
    written = row(task.id)
    assert (written.status, written.node, written.retry_count) == ("QUEUED", None, 2)
    assert (written.next_attempt, written.failures, written.interruptions) == (task.due, 0, interruptions)
    assert Attempt.objects.count() == attempts
    assert claim(task.id)[0].attempt == 2


def test_a_refused_row_is_failed_at_once_with_its_reason() -> None:
    task = claim_new()
    assert finish(task, Kind.REFUSED, exception="MacError: forged") == []
    written = row(task.id)
    assert (written.status, written.last_exception, written.failures) == ("FAILED", "MacError: forged", 0)
    assert Attempt.objects.get().kind == "refused"


def test_an_attempt_that_never_began_has_no_start() -> None:
    task = claim_new()
    journal.finish(connection, BOOT, [structs.replace(ending(task, Kind.NOT_STARTED), started=None)])
    assert row(task.id).started is None


def lose_to_another_node(task: Claimed) -> None:
    journal.recover(connection, BOOT)
    claim(task.id, boot=OTHER)


def lose_to_oneself(task: Claimed) -> None:
    journal.recover(connection, BOOT)
    claim(task.id)


def lose_to_nobody(task: Claimed) -> None:
    journal.recover(connection, BOOT)


def delete(task: Claimed) -> None:
    Task.objects.all().delete()


def cancel(task: Claimed) -> None:
    Task.objects.update(status="CANCELLED")


@pytest.mark.parametrize("lose", [lose_to_another_node, lose_to_oneself, lose_to_nobody, delete, cancel])
@pytest.mark.parametrize("kind", [Kind.SUCCESS, Kind.FAILURE])
def test_who_no_longer_holds_the_row_is_fenced_and_changes_nothing(lose: object, kind: Kind) -> None:
    task = claim_new()
    lose(task)  # type: ignore[operator]
    before = [model_to_dict(found) for found in Task.objects.all()]
    end = ending(task, kind)
    assert journal.finish(connection, BOOT, [end]) == [end]
    assert [model_to_dict(found) for found in Task.objects.all()] == before
    assert Attempt.objects.count() == 0


def test_the_fenced_ones_of_a_batch_do_not_stop_the_others() -> None:
    good, lost, failing = claim_new(), claim_new(), claim_new()
    Task.objects.filter(uuid=lost.id).update(node=OTHER)
    ends = [ending(good, Kind.SUCCESS), ending(lost, Kind.FAILURE), ending(failing, Kind.FAILURE)]
    assert journal.finish(connection, BOOT, ends) == [ends[1]]
    assert [status(task.id) for task in (good, lost, failing)] == ["SUCCEEDED", "RUNNING", "QUEUED"]
    assert [attempt.task_id for attempt in Attempt.objects.all()] == [failing.id]


@pytest.mark.parametrize(
    ("kind", "attempts"),
    [(Kind.SUCCESS, 0), (Kind.FAILURE, 1), (Kind.REFUSED, 1), (Kind.INTERRUPTED, 1)],
)
def test_a_finish_that_finds_itself_written_is_done_and_is_not_written_twice(
    kind: Kind, attempts: int
) -> None:
    task, other = claim_new(), claim_new()
    end = ending(task, kind, exception="ValueError: x", traceback="")
    assert journal.finish(connection, BOOT, [end]) == []
    before = model_to_dict(row(task.id))
    assert journal.finish(connection, BOOT, [end, ending(other, Kind.SUCCESS)]) == []
    assert model_to_dict(row(task.id)) == before
    assert status(other.id) == "SUCCEEDED"
    assert Attempt.objects.filter(task_id=task.id).count() == attempts


def test_a_whole_batch_that_is_written_again_leaves_no_second_attempts() -> None:
    ends = [ending(claim_new(retry_count=n % 2), Kind.FAILURE) for n in range(6)]
    for _ in range(3):
        with transaction.atomic():
            assert journal.finish(connection, BOOT, ends) == []
    assert Attempt.objects.count() == 6
    assert set(Task.objects.values_list("failures", flat=True)) == {1}


def test_nothing_to_finish_is_no_statement() -> None:
    assert journal.finish(connection, BOOT, []) == []


def test_of_two_who_finish_the_same_attempt_one_is_written() -> None:
    for _ in range(10):
        task = claim_new(retry_count=0)
        good, bad = ending(task, Kind.SUCCESS, result="1"), ending(task, Kind.FAILURE)
        results = race(
            lambda own, good=good: journal.finish(own, BOOT, [good]),
            lambda own, bad=bad: journal.finish(own, BOOT, [bad]),
        )
        assert sorted(map(len, results)) == [0, 1]
        won = "SUCCEEDED" if results[0] == [] else "FAILED"
        assert status(task.id) == won
        assert Attempt.objects.filter(task_id=task.id).count() == (won == "FAILED")


def test_a_finish_and_the_recovery_of_its_node_never_both_count() -> None:
    for _ in range(10):
        task = claim_new()
        end = ending(task, Kind.SUCCESS)
        fenced, recovered = race(
            lambda own, end=end: journal.finish(own, BOOT, [end]),
            lambda own: journal.recover(own, BOOT),
        )
        assert (fenced, recovered, status(task.id)) in [
            ([], [], "SUCCEEDED"),
            ([end], [task.id], "QUEUED"),
        ]
        Task.objects.all().delete()


def test_meta_holds_the_calls_own_policy_through_every_attempt() -> None:
    policy = {"retry_count": 1, "retry_after": 9.5}
    task = claim_new(policy=policy, retry_count=1)
    finish(task, Kind.FAILURE)
    assert claim(task.id)[0].policy == policy
    assert json.loads(json.dumps(row(task.id).meta)) == policy
