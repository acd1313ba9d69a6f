"""cancel beside claims, ends, retries, recoveries and other cancels: whoever comes first, the row tells the truth."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.db import connection, transaction

from django_ztask import cancelling, journal
from django_ztask.lifecycle import Kind
from django_ztask.models import Task
from tests.integration.helpers import BOOT, claim, claim_new, ending, new_task, race, record, row, status

pytestmark = pytest.mark.both_databases

ROUNDS = 15


def ask(task_id: str) -> Any:
    return lambda own: cancelling.ask(own, task_id, time.time())


def test_with_a_claim_either_it_never_runs_or_its_node_knows() -> None:
    for _ in range(ROUNDS):
        [task_id] = record()
        asked, claimed = race(
            ask(task_id), lambda own, name=task_id: journal.claim(own, BOOT, [name], time.time() + 1)
        )
        written = row(task_id)
        assert written.cancel_requested is not None
        if claimed:
            assert (asked, written.status) == ("RUNNING", "RUNNING")
            assert cancelling.asked(connection, BOOT, [task_id]) == [task_id]
        else:
            assert (asked, written.status, written.attempts) == ("CANCELLED", "CANCELLED", 0)


@pytest.mark.parametrize("kind", [Kind.SUCCESS, Kind.FAILURE, Kind.INTERRUPTED, Kind.REFUSED])
def test_with_an_end_the_answer_is_what_the_row_says(kind: Kind) -> None:
    for _ in range(ROUNDS):
        task = claim_new()
        end = ending(task, kind)
        asked, fenced = race(ask(task.id), lambda own, end=end: journal.finish(own, BOOT, [end]))
        assert fenced == []
        after = status(task.id)
        if asked is None:
            assert after in ("SUCCEEDED", "FAILED")
        elif kind is Kind.SUCCESS:
            assert (asked, after) == ("RUNNING", "SUCCEEDED")
        else:  # it came first, or the row was queued again when it came
            assert after == "CANCELLED"
        assert claim(task.id, now=time.time() + 60) == [] or asked is None


def test_with_a_recovery_what_was_asked_for_is_never_queued() -> None:
    for _ in range(ROUNDS):
        task = claim_new()
        asked, recovered = race(ask(task.id), lambda own: journal.recover(own, BOOT))
        written = row(task.id)
        if asked == "RUNNING":
            assert (recovered, written.status) == ([], "RUNNING")
            assert cancelling.settle(connection, BOOT, time.time()) == [(task.id, task.function_name)]
        else:
            assert (asked, recovered, written.status) == ("CANCELLED", [task.id], "CANCELLED")


def test_eight_at_once_are_one() -> None:
    for make in (lambda: record()[0], lambda: claim_new().id):
        task_id = make()
        answers = race(*[ask(task_id)] * 8)
        after = status(task_id)
        assert answers.count(after) == (1 if after == "CANCELLED" else 8)
        assert set(answers) <= {after, None}


def test_a_crowd_that_cancels_a_crowd_while_it_is_claimed() -> None:
    ids = record(*(new_task(n) for n in range(60)))

    def cancel_all(own: Any) -> list[Any]:
        return [cancelling.ask(own, task_id, time.time()) for task_id in ids]

    def claim_all(own: Any) -> list[str]:
        claimed = []
        for first in range(0, len(ids), 5):
            with transaction.atomic():
                claimed += journal.claim(own, BOOT, ids[first : first + 5], time.time() + 1)
        return [task.id for task in claimed]

    *answers, claimed = race(*[cancel_all] * 4, claim_all)
    states = dict(Task.objects.values_list("uuid", "status"))
    for task_id, *said in zip(ids, *answers, strict=True):
        assert set(said) <= {states[task_id], None}
        assert said.count("CANCELLED") == (states[task_id] == "CANCELLED"), (
            "whoever comes second finds it done"
        )
    assert {task_id for task_id in ids if states[task_id] == "RUNNING"} == set(claimed)
    assert sorted(cancelling.asked(connection, BOOT)) == sorted(claimed)
