"""prune: what succeeded before a time goes, a few rows at a time, and nothing else."""

from __future__ import annotations

import datetime
import time

import pytest
from django.db import connection

from django_ztask import journal, upkeep
from django_ztask.errors import ResultUnavailable
from django_ztask.handle import TaskHandle
from django_ztask.lifecycle import Kind
from django_ztask.models import Attempt, Task
from tests.integration.helpers import claim_new, failed, finish, new_task, race, record, status

pytestmark = pytest.mark.both_databases

NOW = time.time()


def succeeded(seconds_ago: float) -> str:
    task = claim_new()
    assert finish(task, Kind.SUCCESS, result="1") == []
    moment = datetime.datetime.fromtimestamp(NOW - seconds_ago, datetime.UTC)
    Task.objects.filter(uuid=task.id).update(finished=moment)
    return task.id


def test_the_oldest_go_first_up_to_the_limit() -> None:
    ages = [50, 10, 40, 30, 20]
    ids = {age: succeeded(age) for age in ages}
    assert upkeep.prunable(connection, NOW - 15) == 4
    assert upkeep.prune(connection, NOW - 15, 3) == 3
    left = set(Task.objects.values_list("uuid", flat=True))
    assert left == {ids[10], ids[20]}
    assert upkeep.prune(connection, NOW - 15, 3) == 1
    assert upkeep.prune(connection, NOW - 15, 3) == 0
    assert upkeep.prunable(connection, NOW) == 1


def test_only_what_succeeded_is_pruned_and_its_attempts_with_it() -> None:
    retried = claim_new()
    finish(retried, Kind.FAILURE)
    [again] = journal.claim(connection, "boot-1", [retried.id], time.time() + 60)
    finish(again, Kind.SUCCESS)
    stays = failed()
    [queued] = record()
    running = claim_new()
    assert Attempt.objects.count() == 2
    assert upkeep.prune(connection, time.time() + 1, 100) == 1
    assert [status(task_id) for task_id in (stays, queued, running.id)] == ["FAILED", "QUEUED", "RUNNING"]
    assert [attempt.task_id for attempt in Attempt.objects.all()] == [stays]


def test_what_was_cancelled_is_pruned_with_what_succeeded() -> None:
    old, new = record(new_task(1), new_task(2))
    done = succeeded(30)
    running = claim_new()
    for task_id in (old, new, running.id):
        assert TaskHandle(task_id).cancel()
    moment = datetime.datetime.fromtimestamp(NOW - 50, datetime.UTC)
    Task.objects.filter(uuid=old).update(finished=moment)
    assert upkeep.prunable(connection, NOW - 15) == 2
    assert upkeep.prune(connection, NOW - 15, 1) == 1
    assert upkeep.prune(connection, NOW - 15, 1) == 1
    assert upkeep.prune(connection, NOW - 15, 1) == 0
    left = set(Task.objects.values_list("uuid", flat=True))
    assert left == {new, running.id}, f"not {old}, not {done}"


def test_two_who_prune_at_once_share_the_work() -> None:
    for _ in range(30):
        succeeded(100)
    counts = race(*[lambda own: upkeep.prune(own, NOW, 20)] * 2)
    assert sum(counts) + upkeep.prune(connection, NOW, 30) == 30
    assert Task.objects.count() == 0


def test_the_result_of_a_pruned_task_is_unavailable() -> None:
    handle = TaskHandle[int](succeeded(100))
    assert handle.result(1) == 1
    upkeep.prune(connection, NOW, 1)
    with pytest.raises(ResultUnavailable):
        TaskHandle[int](handle.id).result(1)
