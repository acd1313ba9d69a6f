"""When what a task changed is put back, and whom it is put down to."""

from __future__ import annotations

import os
from typing import Any

import pytest

from django_ztask.rows import Claimed
from django_ztask.serialize import Payload
from ztaskd import events, output, surroundings
from ztaskd.belongings import Belonging
from ztaskd.surroundings import Surroundings

Said = list[tuple[str, bool, list[str]]]


def task(name: str) -> Claimed:
    return Claimed(name, "shop.tasks.work", Payload("json", "[]", "{}"), "", "", 0.0, 0, 0, 1, 0, 0, {})


A, B, C = task("a"), task("b"), task("c")
state: dict[str, Any] = {}


def of_a_dictionary(name: str, lent: bool) -> Belonging:
    def put_back(noted: Any) -> None:
        if state[name] == "stuck":
            raise OSError("it is stuck")
        state[name] = noted

    return Belonging(name, lambda: state[name], put_back, lambda value, _: f"changed {name} to {value}", lent)


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Said:
    """What was said: who, whether somebody ran beside it, and the changes."""
    found: Said = []

    def note(event: str, fields: dict[str, Any]) -> None:
        assert event == "surroundings_changed"
        found.append((fields["task"].id, fields["beside"], fields["changes"]))

    state.update(own="o", lent="l")
    belongings = [of_a_dictionary("own", False), of_a_dictionary("lent", True)]
    monkeypatch.setattr(surroundings, "of_this_process", lambda: belongings)
    monkeypatch.setattr(events, "_subscribers", [note])
    return found


def test_what_a_task_changed_alone_is_put_back_at_its_end(heard: Said) -> None:
    around = Surroundings()
    around.begin(A)
    state.update(own=1, lent=2)
    around.end(A)
    assert state == {"own": "o", "lent": "l"}
    assert heard == [("a", False, ["changed own to 1", "changed lent to 2"])]
    around.begin(B)
    around.end(B)
    assert len(heard) == 1


def test_what_may_be_anothers_is_put_back_at_once_unless_it_is_often_lent(heard: Said) -> None:
    around = Surroundings()
    around.begin(A)
    around.begin(B)
    state.update(own=1, lent=2)
    around.end(A)
    assert state == {"own": "o", "lent": 2}
    assert heard == [("a", True, ["changed own to 1"])]
    around.begin(C)
    around.end(C)
    assert state["lent"] == 2
    around.end(B)
    assert state["lent"] == "l"
    assert heard[1:] == [("a", True, ["changed lent to 2"])]


def test_a_loan_that_its_task_gives_back_is_not_spoken_of(heard: Said) -> None:
    around = Surroundings()
    around.begin(A)
    around.begin(B)
    state["lent"] = 2
    around.end(A)
    state["lent"] = "l"
    around.end(B)
    assert heard == []


def test_the_next_change_of_the_same_thing_is_a_loan_of_its_own(heard: Said) -> None:
    around = Surroundings()
    for each in (A, B):
        around.begin(each)
    state["lent"] = 2
    around.end(A)
    around.begin(C)
    state["lent"] = 3
    around.end(B)
    assert state["lent"] == 3  # C's, perhaps
    around.end(C)
    assert state["lent"] == "l"
    assert heard == [("b", True, ["changed lent to 3"])]


def test_a_loan_beside_a_task_that_never_ends_has_its_term(
    heard: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = 100.0
    monkeypatch.setattr(surroundings.time, "monotonic", lambda: clock)
    around = Surroundings()
    around.begin(B)
    around.begin(A)
    state["lent"] = 2
    around.end(A)
    clock += surroundings.LENT - 1
    around.begin(A)
    assert state["lent"] == 2
    clock += 1
    around.begin(C)
    assert state["lent"] == "l"
    assert heard == [("a", True, ["changed lent to 2"])]


def test_what_cannot_be_put_back_is_said_and_stops_nothing(heard: Said) -> None:
    around = Surroundings()
    around.begin(A)
    state.update(own="stuck", lent=2)
    around.end(A)
    assert state == {"own": "stuck", "lent": "l"}
    own = "changed own to stuck (which could not be put back: it is stuck)"
    assert heard == [("a", False, [own, "changed lent to 2"])]


def test_a_descriptor_that_a_socket_has_taken_is_left_alone() -> None:
    """libzmq aborts the process when one of its own is taken away."""
    ours, (reader, writer) = output.Standard(), os.pipe()
    original, name = os.open(os.devnull, os.O_RDWR), os.open(os.devnull, os.O_RDWR)
    ours._kept[name] = original, output._identity(name)
    assert ours.changed() == []
    os.dup2(reader, name, inheritable=False)  # opened, like libzmq's
    assert ours.changed() == []
    os.dup2(reader, name)  # put there on purpose
    assert ours.changed() == [name]
    os.close(name)
    assert ours.changed() == [name]
    ours.put_back(name)
    assert ours.changed() == []
    for fd in (reader, writer, original, name):
        os.close(fd)


class Odd:
    """What a task may leave behind anywhere."""

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("compares with nobody")

    __hash__ = None  # type: ignore[assignment]


def test_an_object_that_cannot_even_be_compared_ends_no_slot(
    monkeypatch: pytest.MonkeyPatch, heard: Said
) -> None:
    said: list[str] = []
    monkeypatch.setattr(events, "_subscribers", [lambda event, fields: said.append(event)])
    around = Surroundings()
    around.begin(A)
    state.update(own=Odd())
    around.end(A)
    assert said == ["surroundings_unclear"]
    around.begin(B)
    around.end(B)
    state.update(own="o")
