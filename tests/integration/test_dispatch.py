"""Which rows are asked for: with a real dispatcher, and a committer that only writes down."""

from __future__ import annotations

from typing import Any

import pytest

from django_ztask.lifecycle import Kind, Outcome
from tests.integration.helpers import claim_new
from ztaskd.attempt import conclude
from ztaskd.batch import Answer
from ztaskd.dispatch import FIRST, Dispatcher


class Requests:
    """What the dispatcher asks of the committer."""

    def __init__(self) -> None:
        self.claims: list[list[str]] = []
        self.looks: list[tuple[int, frozenset[str]]] = []
        self.finishes: list[Any] = []

    def claim(self, ids: Any) -> None:
        self.claims.append(list(ids))

    def look(self, want: int, unknown: frozenset[str]) -> None:
        self.looks.append((want, unknown))

    def mark(self, task: Any) -> bool:
        return True

    def finish(self, finish: Any) -> None:
        self.finishes.append(finish)


@pytest.fixture
def asked() -> Requests:
    return Requests()


@pytest.fixture
def dispatcher(asked: Requests) -> Dispatcher:
    return Dispatcher(asked, 2, lambda dead: None)  # type: ignore[arg-type]


def test_names_are_claimed_while_there_is_room_and_the_rest_is_looked_for(
    dispatcher: Dispatcher, asked: Requests
) -> None:
    dispatcher.named(["a", "b", "c"], None)
    assert asked.claims == [["a", "b"]]
    assert asked.looks == [], "there is no room for more"
    dispatcher.answered(Answer(named=2))
    assert asked.looks == [(2, frozenset())], "they were somebody else's: now there is room"


def test_of_many_names_an_idle_node_starts_a_few_at_once_and_looks_for_the_rest(asked: Requests) -> None:
    dispatcher = Dispatcher(asked, 100, lambda dead: None)  # type: ignore[arg-type]
    names = [str(n) for n in range(50)]
    dispatcher.named(names, None)
    assert (asked.claims, asked.looks) == ([names[:FIRST]], [])
    dispatcher.answered(Answer(named=FIRST))
    assert asked.looks == [(100, frozenset())]


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
    assert asked.looks[-1][1] == frozenset()
