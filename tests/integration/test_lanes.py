"""Two lanes with the real committer and the real journal: each has what it is to have, and none waits for the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
from gevent.event import Event

from django_ztask.lifecycle import Kind, Outcome
from django_ztask.models import Task
from django_ztask.rows import Claimed
from tests.integration.helpers import BOOT, new_task, record
from ztaskd.attempt import conclude
from ztaskd.batch import Answer
from ztaskd.committer import Committer
from ztaskd.dispatch import Dispatcher
from ztaskd.lanes import SLOTS, Lane
from ztaskd.schedule import MOST_AHEAD
from ztaskd.slots import Slots
from ztaskd.storage import storage_for

pytestmark = pytest.mark.both_databases

PATIENCE = 60.0


class Site:
    """A node without a socket. What is given to a lane waits there until its gate is open."""

    def __init__(self, **sizes: int) -> None:
        self.sizes = sizes
        self.gates = {name: Event() for name in sizes}
        self.started: dict[str, list[str]] = {name: [] for name in sizes}
        self.beyond = 0  # rows that a lane had and should not have
        self.committer = Committer(storage_for("default"), BOOT, self.answered, lambda connection: True)
        self.dispatcher = Dispatcher(self.committer, lambda attempts: [self.lane(name) for name in sizes])
        self.committer.start()
        self.services = [gevent.spawn(self.committer.serve), gevent.spawn(self.dispatcher.watch_clock)]

    def lane(self, name: str) -> Lane:
        def run(task: Claimed) -> None:
            self.started[name].append(task.id)
            self.gates[name].wait(PATIENCE)
            self.dispatcher.finished(conclude(task, Outcome(Kind.SUCCESS), 1.0))

        pools = SLOTS if name == "slots" else ("process",)
        return Lane(pools, Slots(self.sizes[name], run, self.died))

    def died(self, greenlet: Any) -> None:
        raise AssertionError(f"a place died: {greenlet.exception}")

    def answered(self, answer: Answer) -> None:
        self.dispatcher.answered(answer)
        for lane in self.dispatcher.lanes:
            self.beyond = max(self.beyond, lane.held + lane.asked - lane.places.size - MOST_AHEAD)

    def stop(self) -> None:
        for gate in self.gates.values():
            gate.set()
        self.dispatcher.drain()
        assert self.dispatcher.drained.wait(PATIENCE)
        assert self.committer.stop(PATIENCE)
        gevent.killall(self.services)
        assert self.beyond <= 0


@pytest.fixture
def site() -> Iterator[Callable[..., Site]]:
    made: list[Site] = []

    def make(**sizes: int) -> Site:
        made.append(Site(**sizes))
        return made[-1]

    yield make
    for each in made:
        each.stop()


def wait_for(condition: Callable[[], Any], what: str) -> None:
    with gevent.Timeout(PATIENCE, AssertionError(f"waited in vain for {what}")):
        while not condition():
            gevent.sleep(0.002)


def waiting(pool: str) -> int:
    return Task.objects.queued().filter(pool=pool).count()


def ended(*ids: str) -> bool:
    return Task.objects.succeeded().filter(uuid__in=ids).count() == len(ids)


def many(pool: str, count: int = 300) -> list[str]:
    return record(*[new_task(n, pool=pool) for n in range(count)])


def test_tasks_in_slots_start_although_many_wait_for_a_process(site: Callable[..., Site]) -> None:
    crowd = many("process")
    node = site(slots=2, processes=2)
    wait_for(lambda: len(node.started["processes"]) == 2, "two processes")
    node.gates["slots"].set()
    for pool in ("", "greenlet"):
        named = many(pool, 7)
        node.dispatcher.named(named, None)
        wait_for(lambda named=named: ended(*named), "tasks that were named")
    unnamed = many("greenlet", 50)
    node.dispatcher.named([], None)
    wait_for(lambda: ended(*unnamed), "tasks that were looked for")
    assert waiting("process") == 298
    node.gates["processes"].set()
    wait_for(lambda: ended(*crowd), "the crowd")
    assert node.started["processes"] == crowd, "in their order, each once"


def test_tasks_in_processes_start_although_many_wait_for_a_slot(site: Callable[..., Site]) -> None:
    crowd = many("")
    node = site(slots=2, processes=2)
    wait_for(lambda: len(node.started["slots"]) == 2, "two in slots")
    node.gates["processes"].set()
    for count in (1, 40):
        named = many("process", count)
        node.dispatcher.named(named, None)
        wait_for(lambda named=named: ended(*named), "tasks that were named")
    assert waiting("") == 298
    node.gates["slots"].set()
    wait_for(lambda: ended(*crowd), "the crowd")
    assert node.started["slots"] == crowd


def test_both_lanes_drain_together_in_their_order(site: Callable[..., Site]) -> None:
    crowds = {name: many(pool) for name, pool in (("slots", "greenlet"), ("processes", "process"))}
    node = site(slots=5, processes=3)
    for gate in node.gates.values():
        gate.set()
    wait_for(lambda: ended(*crowds["slots"], *crowds["processes"]), "both crowds")
    assert node.started == crowds
    assert set(Task.objects.values_list("attempts", flat=True)) == {1}


def test_a_node_with_one_lane_leaves_the_others_rows_where_they_are(site: Callable[..., Site]) -> None:
    theirs, ours = many("process", 9), many("", 9)
    node = site(slots=2)
    node.gates["slots"].set()
    node.dispatcher.named(theirs[:2], None)
    wait_for(lambda: ended(*ours), "ours")
    late = many("", 3)
    node.dispatcher.named([theirs[0], *late], None)
    wait_for(lambda: ended(*late), "those that came later")
    assert waiting("process") == 9
    assert node.started["slots"] == ours + late
