"""Which rows are asked for: with a real dispatcher, a committer that only writes down, and places that only hold."""

from __future__ import annotations

from typing import Any

import pytest

from django_ztask.lifecycle import Kind, Outcome
from django_ztask.rows import Claimed
from tests.integration.helpers import claim_new
from ztaskd.attempt import conclude
from ztaskd.batch import Answer, Pools
from ztaskd.dispatch import FIRST, Dispatcher
from ztaskd.lanes import SLOTS, Lane

PROCESSES: Pools = ("process",)
NONE: frozenset[str] = frozenset()


class Requests:
    """What the dispatcher asks of the committer."""

    def __init__(self) -> None:
        self.claims: list[list[str]] = []
        self.looks: list[tuple[dict[Pools, int], frozenset[str]]] = []
        self.finishes: list[Any] = []

    def claim(self, ids: Any, pools: Pools) -> None:
        assert pools == SLOTS, "nobody knows whose a name is: it is claimed for the first lane"
        self.claims.append(list(ids))

    def look(self, wants: Any, unknown: frozenset[str]) -> None:
        self.looks.append((dict(wants), unknown))

    def mark(self, task: Any) -> bool:
        return True

    def finish(self, finish: Any) -> None:
        self.finishes.append(finish)


class Held:
    """Places whose tasks end when the test says so."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.running: dict[Any, Claimed] = {}
        self.interrupted = False

    def put(self, task: Claimed) -> None:
        self.running[task.id] = task

    def take_back(self) -> list[Claimed]:
        return [self.running.pop(task_id) for task_id in list(self.running)[self.size :]]

    def interrupt(self) -> None:
        self.interrupted = True


@pytest.fixture
def asked() -> Requests:
    return Requests()


def dispatcher_of(asked: Requests, **lanes: int) -> Dispatcher:
    """With a lane of so many places for each."""
    made = [Lane({"slots": SLOTS, "processes": PROCESSES}[name], Held(size)) for name, size in lanes.items()]
    return Dispatcher(asked, lambda attempts: made)  # type: ignore[arg-type]


@pytest.fixture
def dispatcher(asked: Requests) -> Dispatcher:
    return dispatcher_of(asked, slots=2)


@pytest.fixture
def both(asked: Requests) -> Dispatcher:
    return dispatcher_of(asked, slots=2, processes=3)


def brought(dispatcher: Dispatcher, *pools: str, **answer: Any) -> list[Claimed]:
    """An answer with a claimed row of each pool."""
    tasks = [claim_new(pool=pool) for pool in pools]
    dispatcher.answered(Answer(claimed=tasks, **answer))
    return tasks


def end(dispatcher: Dispatcher, task: Claimed) -> None:
    del dispatcher._lane[task.pool].places.running[task.id]
    dispatcher.finished(conclude(task, Outcome(Kind.SUCCESS), 1.0))


def test_names_are_claimed_while_there_is_room_and_the_rest_is_looked_for(
    dispatcher: Dispatcher, asked: Requests
) -> None:
    dispatcher.named(["a", "b", "c"], None)
    assert asked.claims == [["a", "b"]]
    assert asked.looks == [], "there is no room for more"
    dispatcher.answered(Answer(named=2))
    assert asked.looks == [({SLOTS: 2}, NONE)], "they were somebody else's: now there is room"


def test_of_many_names_an_idle_node_starts_a_few_at_once_and_looks_for_the_rest(asked: Requests) -> None:
    dispatcher = dispatcher_of(asked, slots=100)
    names = [str(n) for n in range(50)]
    dispatcher.named(names, None)
    assert (asked.claims, asked.looks) == ([names[:FIRST]], [])
    dispatcher.answered(Answer(named=FIRST))
    assert asked.looks == [({SLOTS: 100}, NONE)]


def test_what_is_heard_of_during_a_look_is_looked_for_after_it(
    dispatcher: Dispatcher, asked: Requests
) -> None:
    dispatcher.look(anyway=True)
    dispatcher.named(["a"], None)
    assert asked.claims == [], "the look under way has taken all the room"
    dispatcher.answered(Answer(looked=True))
    assert len(asked.looks) == 2
    dispatcher.answered(Answer(looked=True))
    assert len(asked.looks) == 2


def test_a_function_that_is_unknown_is_left_out_and_looked_for_again_later(
    dispatcher: Dispatcher, asked: Requests
) -> None:
    task = claim_new(function="not.here")
    dispatcher.finished(conclude(task, Outcome(Kind.UNKNOWN, exception="there is no such module"), 1.0))
    dispatcher.look(anyway=True)
    assert asked.looks[-1][1] == {"not.here"}
    assert dispatcher.unknown == {"not.here": "there is no such module"}
    dispatcher.answered(Answer(looked=True))
    dispatcher.forget_unknown()
    dispatcher.look(anyway=True)
    assert asked.looks[-1][1] == NONE


def test_with_one_lane_a_name_that_brings_nothing_is_not_looked_for(
    dispatcher: Dispatcher, asked: Requests
) -> None:
    dispatcher.named(["a"], None)
    dispatcher.answered(Answer(named=1, missed=True))
    assert asked.looks == []


def test_what_a_name_does_not_bring_is_looked_for_in_the_other_lane(
    both: Dispatcher, asked: Requests
) -> None:
    both.named(["a", "b"], None)
    brought(both, "", named=2, missed=True)
    assert (asked.claims, asked.looks) == ([["a", "b"]], [({PROCESSES: 3}, NONE)])
    brought(both, "process", looked=True)
    assert len(asked.looks) == 1, "it was all there is"
    both.named(["c"], None)
    brought(both, "", named=1)
    assert len(asked.looks) == 1, "each name brought its row"


def test_what_a_name_does_not_bring_during_a_look_is_looked_for_after_it(
    both: Dispatcher, asked: Requests
) -> None:
    both.named(["a"], None)
    both.look(anyway=True)
    assert asked.looks == [({SLOTS: 1, PROCESSES: 3}, NONE)]
    both.answered(Answer(named=1, missed=True))
    assert len(asked.looks) == 1, "one at a time"
    both.answered(Answer(looked=True))
    assert asked.looks[1:] == [({PROCESSES: 3}, NONE)]
    both.answered(Answer(looked=True))
    assert len(asked.looks) == 2


def test_names_beyond_the_room_are_looked_for_in_both_lanes(both: Dispatcher, asked: Requests) -> None:
    both.named(["a", "b", "c"], None)
    brought(both, "", named=2, missed=True)
    assert asked.looks == [({SLOTS: 1, PROCESSES: 3}, NONE)]
    both.named(["d"], None)
    assert len(asked.claims) == 1, "with a backlog a message only says look"
    both.answered(Answer(looked=True))
    assert asked.looks[1:] == [({SLOTS: 1, PROCESSES: 3}, NONE)]


@pytest.mark.parametrize("full", [SLOTS, PROCESSES])
def test_a_lane_that_is_full_costs_the_other_nothing(full: Pools, both: Dispatcher, asked: Requests) -> None:
    lane, other = both.lanes if full == SLOTS else reversed(both.lanes)
    both.look(anyway=True)
    brought(both, *[full[-1]] * lane.places.size, looked=True, more={full})
    assert (lane.room(), lane.backlog, len(asked.looks)) == (0, True, 1), "a million wait"
    for wanted in range(other.places.size, 0, -1):
        both.look(anyway=True)
        assert asked.looks[-1] == ({other.pools: wanted}, NONE)
        brought(both, other.pools[0], looked=True)
    before = len(asked.looks)
    end(both, next(iter(other.places.running.values())))
    assert len(asked.looks) == before, "it has no backlog"
    end(both, next(iter(lane.places.running.values())))
    assert [list(wants) for wants, _ in asked.looks[before:]] == [[full]]


def test_names_start_at_once_while_a_million_wait_for_a_process(both: Dispatcher, asked: Requests) -> None:
    both.look(anyway=True)
    brought(both, *["process"] * 3, looked=True, more={PROCESSES})
    for n in range(20):
        both.named([str(n)], None)
        assert asked.claims[-1] == [str(n)]
        [task] = brought(both, "greenlet" if n % 2 else "", named=1)
        end(both, task)
    assert len(asked.looks) == 1


def test_names_find_room_beside_looks_that_put_rows_aside(dispatcher: Dispatcher, asked: Requests) -> None:
    dispatcher.look(anyway=True)
    dispatcher.named(["a"], None)
    assert (asked.looks, asked.claims) == ([({SLOTS: 2}, NONE)], []), (
        "the look may bring as much as there is room for"
    )
    brought(dispatcher, looked=True, more={SLOTS}, aside=500)
    assert asked.looks[1:] == [({SLOTS: 1}, NONE)]
    dispatcher.named(["b"], None)
    assert asked.claims == [["b"]]
    [task] = brought(dispatcher, "", named=1)
    end(dispatcher, task)
    brought(dispatcher, looked=True)
    dispatcher.look(anyway=True)
    assert asked.looks[-1][0][SLOTS] >= 2, "all of the room"


def test_no_lane_is_given_more_than_it_has_room_for(both: Dispatcher, asked: Requests) -> None:
    both.named(["a"], None)
    both.look(anyway=True)
    assert asked.looks == [({SLOTS: 1, PROCESSES: 3}, NONE)]
    assert [lane.room() for lane in both.lanes] == [0, 0]
    both.named(["b"], None)
    assert len(asked.claims) == 1
    brought(both, "", named=1)
    assert [lane.room() for lane in both.lanes] == [0, 0]
    brought(both, "process", looked=True)
    assert [lane.held for lane in both.lanes] == [1, 1]
    assert asked.looks[1:] == [({SLOTS: 1, PROCESSES: 2}, NONE)]


def test_a_pause_and_a_drain_are_for_all_lanes(both: Dispatcher, asked: Requests) -> None:
    both.paused.add("disk")
    both.look(anyway=True)
    assert asked.looks == []
    both.paused.clear()
    tasks = brought(both, *["process"] * 4, "", "")
    both.drain()
    assert [finish.outcome.kind for finish in asked.finishes] == [Kind.NOT_STARTED], "a process too many"
    assert sorted(task.id for task in both.running()) == sorted(
        task.id for task in tasks if task.id not in {asked.finishes[0].task.id}
    )
    both.interrupt()
    assert [lane.places.interrupted for lane in both.lanes] == [True, True]  # type: ignore[attr-defined]
    [late] = brought(both, "process")
    assert asked.finishes[-1].task is late, "handed back"
    for task in both.running():
        assert not both.drained.is_set()
        end(both, task)
    assert both.drained.is_set()
    assert asked.looks == []
