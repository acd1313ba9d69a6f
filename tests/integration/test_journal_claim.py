"""due, next_due, claim: what starts next, in which order, and that nobody gets it twice."""

from __future__ import annotations

import random
import time

import pytest
from django.db import connection, transaction

from django_ztask import journal
from django_ztask.models import Task
from tests.integration.helpers import (
    BOOT,
    OTHER,
    claim,
    later,
    new_task,
    race,
    record,
    row,
    status,
)

pytestmark = pytest.mark.both_databases

NOW = 1_700_000_000.0
STATES = ["QUEUED", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED"]


def in_state(state: str) -> str:
    [task_id] = record(new_task(1, due=NOW))
    Task.objects.filter(uuid=task_id).update(status=state)
    return task_id


def test_a_claim_makes_the_row_running_and_gives_what_is_needed_to_run_it() -> None:
    task = new_task(1, "two", due=NOW, priority=4, policy={"timeout": 2.0})
    record(task)
    [claimed] = claim(task.id, now=NOW)
    assert (claimed.id, claimed.function_name, claimed.payload, claimed.mac) == (
        task.id,
        task.function_name,
        task.payload,
        task.mac,
    )
    assert (claimed.due, claimed.priority, claimed.retries_left, claimed.attempt) == (NOW, 4, 2, 1)
    assert (claimed.replays, claimed.policy) == (0, {"timeout": 2.0})
    written = row(task.id)
    assert (written.status, written.node, written.attempts) == ("RUNNING", BOOT, 1)
    assert written.claimed is not None
    assert written.claimed.timestamp() == NOW


@pytest.mark.parametrize("state", STATES)
def test_only_queued_rows_can_be_claimed(state: str) -> None:
    task_id = in_state(state)
    assert [task.id for task in claim(task_id)] == ([task_id] if state == "QUEUED" else [])
    assert status(task_id) == ("RUNNING" if state == "QUEUED" else state)


def test_a_second_claim_of_the_same_row_gets_nothing_and_changes_nothing() -> None:
    [task_id] = record()
    assert len(claim(task_id)) == 1
    assert claim(task_id, boot=OTHER) == []
    assert (row(task_id).node, row(task_id).attempts) == (BOOT, 1)


def test_a_row_is_not_claimed_before_it_is_due() -> None:
    [task_id] = record(new_task(1, due=NOW + 5))
    assert claim(task_id, now=NOW + 4.999) == []
    assert len(claim(task_id, now=NOW + 5)) == 1


def test_rows_of_functions_unknown_here_are_left_to_others() -> None:
    known, unknown = record(new_task(1, due=NOW), new_task(1, due=NOW, function="not.here"))
    claimed = journal.claim(connection, BOOT, [known, unknown], NOW, {"not.here", "nor.there"})
    assert [task.id for task in claimed] == [known]
    assert status(unknown) == "QUEUED"


def test_names_that_are_doubled_forged_or_gone_claim_nothing() -> None:
    [task_id] = record()
    claimed = claim(task_id, task_id, "no-such-task", "", "'; DROP TABLE django_ztask_task; --", "%s")
    assert [task.id for task in claimed] == [task_id]
    assert claim() == []


def rows_in_order() -> list[str]:
    """Ids in the order in which they are to start; recorded in another."""
    tasks = [
        new_task(n, priority=priority, due=NOW + due, created=NOW + created)
        for n, (priority, due, created) in enumerate(
            (priority, due, created)
            for priority in (32767, 5, 0, -1, -32768)
            for due in (-3600.0, -1.5, 0.0)
            for created in (-5.0, -4.0, 0.000001)
        )
    ]
    shuffled = tasks[:]
    random.Random(7).shuffle(shuffled)
    record(*shuffled)
    record(*[new_task(n, priority=9, due=NOW + 0.001) for n in range(3)])
    return [task.id for task in tasks]


def test_due_rows_come_by_priority_then_due_time_then_call() -> None:
    expected = rows_in_order()
    assert journal.due(connection, NOW, 100) == expected
    for limit in (0, 1, 8, 9, 10, 44, 45):
        assert journal.due(connection, NOW, limit) == expected[:limit]


def test_a_claim_gives_its_rows_in_the_order_they_are_to_start() -> None:
    expected = rows_in_order()
    everything = list(Task.objects.values_list("uuid", flat=True))
    assert [task.id for task in claim(*everything, now=NOW)] == expected


def test_calls_of_one_due_time_start_in_the_order_of_the_calls() -> None:
    made = record(*[new_task(n, due=NOW) for n in range(50)])
    assert journal.due(connection, NOW, 100) == made
    assert [task.id for task in claim(*reversed(made), now=NOW)] == made


def test_functions_unknown_here_stall_nobody() -> None:
    record(*[new_task(n, due=NOW, function="not.here", priority=5) for n in range(20)])
    [known] = record(new_task(1, due=NOW))
    assert journal.due(connection, NOW, 3, {"not.here"}) == [known]


@pytest.mark.parametrize("state", STATES)
def test_only_queued_rows_are_due(state: str) -> None:
    task_id = in_state(state)
    assert journal.due(connection, NOW, 5) == ([task_id] if state == "QUEUED" else [])
    assert journal.next_due(connection, NOW - 1) == (NOW if state == "QUEUED" else None)


def test_the_next_due_time_is_the_earliest_of_any_priority() -> None:
    assert journal.next_due(connection, NOW) is None
    record(*[new_task(1, due=NOW + due, priority=priority) for due, priority in ((9, 7), (2.5, -7), (4, 0))])
    record(new_task(1, due=NOW - 5), new_task(1, due=NOW))
    assert journal.next_due(connection, NOW) == NOW + 2.5
    assert journal.next_due(connection, NOW + 2.5) == NOW + 4
    assert journal.next_due(connection, NOW + 9) is None


def test_of_two_nodes_that_claim_one_row_exactly_one_gets_it() -> None:
    for _ in range(20):
        [task_id] = record()
        now = later()
        results = race(
            lambda own, task_id=task_id, now=now: journal.claim(own, BOOT, [task_id], now),
            lambda own, task_id=task_id, now=now: journal.claim(own, OTHER, [task_id], now),
        )
        assert sorted(map(len, results)) == [0, 1]
        winner = BOOT if results[0] else OTHER
        assert (row(task_id).node, row(task_id).attempts) == (winner, 1)


def test_nodes_that_claim_all_they_find_share_it_without_overlap() -> None:
    record(*[new_task(n) for n in range(300)])
    now = later()

    def take_all(boot: str) -> object:
        def take(own: object) -> list[str]:
            mine: list[str] = []
            while found := journal.due(own, now, 25):  # type: ignore[arg-type]
                mine += [task.id for task in journal.claim(own, boot, found, now)]  # type: ignore[arg-type]
            return mine

        return take

    shares = race(*[take_all(f"boot-{n}") for n in range(3)])  # type: ignore[arg-type]
    taken = [task_id for share in shares for task_id in share]
    assert len(taken) == len(set(taken)) == 300
    assert set(Task.objects.values_list("attempts", flat=True)) == {1}


def test_a_row_that_is_not_committed_cannot_be_claimed() -> None:
    with transaction.atomic():
        [task_id] = record()
        connection.set_rollback(True)
    assert claim(task_id, now=time.time() + 9) == []
