"""TaskCancelled in a slot: it hits the task that is meant, once, and never the next one in its place."""

from __future__ import annotations

from typing import Any

import gevent
import pytest
from gevent.event import Event

from django_ztask.errors import TaskCancelled
from django_ztask.lifecycle import Kind
from django_ztask.rows import Claimed
from tests.integration.helpers import claim_new
from tests.integration.test_dispatch import Requests
from ztaskd.batch import Answer
from ztaskd.dispatch import Dispatcher
from ztaskd.lanes import SLOTS, Lane
from ztaskd.slots import Slots

PATIENCE = 20.0


class Work:
    """What the slots run: each task waits for its event, and goes on waiting when it is cancelled."""

    def __init__(self) -> None:
        self.gates: dict[str, Event] = {}
        self.began: list[str] = []
        self.ended: list[str] = []
        self.cancelled: list[str] = []

    def __call__(self, task: Claimed) -> None:
        self.began.append(task.id)
        while True:
            try:
                assert self.gates.setdefault(task.id, Event()).wait(PATIENCE)
                break
            except TaskCancelled:
                self.cancelled.append(task.id)
        self.ended.append(task.id)


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
def slots(work: Work) -> Slots:
    def died(dead: Any) -> None:
        raise AssertionError(f"a slot died: {dead.exception!r}")

    return Slots(1, work, died)


def turn() -> None:
    """The hub does what is to be done now."""
    for _ in range(5):
        gevent.sleep(0)


def test_a_cancel_that_comes_as_its_task_ends_does_not_hit_the_next_one(work: Work, slots: Slots) -> None:
    first, second = claim_new(), claim_new()
    slots.put(first)
    slots.put(second)
    turn()
    assert work.began == [first.id]
    work.gates[first.id].set()  # from the next turn on the slot runs the second,
    assert slots.cancel({first.id}) == []  # and this comes right after it
    turn()
    assert (work.began, work.ended, work.cancelled) == ([first.id, second.id], [first.id], [])
    slots.cancel({second.id})
    turn()
    assert work.cancelled == [second.id]
    work.gates[second.id].set()
    turn()


def test_what_waits_for_a_slot_is_taken_out_and_the_others_keep_their_order(work: Work, slots: Slots) -> None:
    tasks = [claim_new() for _ in range(5)]
    for task in tasks:
        slots.put(task)
    turn()
    assert slots.cancel({tasks[2].id, tasks[4].id, "nobody"}) == [tasks[2], tasks[4]]
    for task in tasks:
        work.gates.setdefault(task.id, Event()).set()
    turn()
    assert work.ended == [tasks[0].id, tasks[1].id, tasks[3].id]
    assert work.cancelled == []


def test_what_waits_is_finished_at_once_and_what_runs_is_told_once(work: Work, slots: Slots) -> None:
    asked = Requests()
    dispatcher = Dispatcher(asked, lambda attempts: [Lane(SLOTS, slots)])  # type: ignore[arg-type]
    running, waiting = claim_new(), claim_new()
    dispatcher.answered(Answer(claimed=[running, waiting]))
    turn()
    for _ in range(3):
        dispatcher.cancel([running.id, waiting.id, "nobody"])
        turn()
    [finish] = asked.finishes
    assert (finish.task, finish.outcome.kind, finish.started) == (waiting, Kind.CANCELLED, None)
    assert finish.verdict.status == "CANCELLED"
    assert work.cancelled == [running.id]
    assert dispatcher.lanes[0].held == 1
    work.gates[running.id].set()
    turn()
