"""A task that waits for a child process when its node stops: nothing of it has run, and nothing is charged to it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import gevent
import pytest
from django.db import connection
from gevent.event import Event

from django_ztask import journal
from django_ztask.errors import TaskCancelled, TaskInterrupted
from django_ztask.lifecycle import Kind
from django_ztask.models import Attempt
from django_ztask.rows import Claimed, Finish
from tests.integration.helpers import BOOT, OTHER, claim, claim_new, row, status
from ztaskd.attempt import Attempts
from ztaskd.workers.pool import Limits, Workers

pytestmark = pytest.mark.both_databases

ONCE = {"at_most_once": True}


class Booting:
    """A child that does not come up."""

    name, pid, code = "worker-1", 0, None

    def __init__(self, gone: Event) -> None:
        self.wait_ready = gone.wait


@pytest.fixture
def attempts() -> Iterator[Attempts]:
    """Writes into the journal, as a node's; its only child is still coming up."""
    gone = Event()
    workers = Workers(1, 20, Limits(), lambda name, level: Booting(gone))  # type: ignore[arg-type, return-value]
    workers._give_back = lambda worker: None  # type: ignore[method-assign]

    def finished(finish: Finish) -> None:
        assert journal.finish(connection, BOOT, [finish]) == []

    def mark(task: Claimed) -> bool:
        return journal.mark(connection, BOOT, task.id, task.attempt, time.time())

    yield Attempts(finished, mark, workers)
    workers.stop()
    gone.set()
    gevent.sleep(0)


def stopped_while_waiting(attempts: Attempts, task: Claimed, error: Exception) -> None:
    """Its attempt waits for the child, and is over after `error`."""
    attempt = gevent.spawn(partial(attempts.run_in_child, task))
    with gevent.Timeout(20):
        while not attempts.workers.wanted:  # type: ignore[union-attr]
            gevent.sleep(0)
        attempts.leave()
        attempt.kill(error, block=True)
        attempt.get()


@pytest.mark.parametrize("policy", [{}, ONCE])
def test_one_whose_node_stops_runs_at_the_next_and_has_paid_nothing(
    attempts: Attempts, policy: dict[str, Any]
) -> None:
    task = claim_new(policy=policy)
    stopped_while_waiting(attempts, task, TaskInterrupted("the node stops"))
    kept = row(task.id)
    assert (kept.status, kept.started, kept.interruptions, kept.node) == ("QUEUED", None, 0, None)
    assert Attempt.objects.count() == 0
    [again] = claim(task.id, boot=OTHER)
    assert again.at_most_once == bool(policy)
    assert journal.mark(connection, OTHER, again.id, again.attempt, time.time())
    assert claim(task.id) == [], "it runs once"


def test_one_that_runs_at_the_next_node_is_failed_when_that_one_dies(attempts: Attempts) -> None:
    task = claim_new(policy=ONCE)
    stopped_while_waiting(attempts, task, TaskInterrupted("the node stops"))
    [again] = claim(task.id, boot=OTHER)
    assert journal.mark(connection, OTHER, again.id, again.attempt, time.time())
    assert [each for each, _ in journal.fail_interrupted(connection, OTHER, time.time())] == [task.id]
    assert status(task.id) == "FAILED"


def test_one_that_is_cancelled_is_cancelled(attempts: Attempts) -> None:
    task = claim_new(policy=ONCE)
    attempts.cancelling.add(task.id)
    stopped_while_waiting(attempts, task, TaskCancelled("somebody has cancelled it"))
    assert status(task.id) == "CANCELLED"
    assert Attempt.objects.get().kind == Kind.CANCELLED.value
