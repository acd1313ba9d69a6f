"""Who calls in a tight loop says so now and then only, and a node looks for the rest."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import gevent
import pytest
from django.db import transaction
from django.test import override_settings

from django_ztask import transport
from django_ztask.message import Names
from django_ztask.transport import COVER, GAP, STREAK
from tests.integration.test_dispatch import NONE, Requests, dispatcher_of
from tests.integration.wire import Node, nobody
from tests.project.shop.tasks import add
from ztaskd.batch import Answer
from ztaskd.lanes import SLOTS
from ztaskd.schedule import SWEEP


class Clock:
    """A transport's, which the test turns."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def later(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(node: Callable[..., Node], monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Of the transport that `node` has put in place."""
    monkeypatch.setattr(transport, "STREAK", STREAK)
    transport._transport.clock = Clock()  # type: ignore[assignment]
    return transport._transport.clock  # type: ignore[return-value]


@pytest.fixture
def one(node: Callable[..., Node], clock: Clock) -> Iterator[Node]:
    """A node that has heard one message, long ago."""
    found = node()
    with override_settings(ZTASKD_URL=found.url):
        handle = add.async_(0)
        assert found.names() == Names([handle.id])
        clock.later(60)
        yield found


def in_a_streak(one: Node, clock: Clock) -> None:
    """The last call has asked for a look in COVER seconds."""
    for number in range(STREAK + 1):
        handle = add.async_(number)
        assert one.names() == Names([handle.id], None, COVER if number == STREAK else 0.0)
        clock.later(GAP / 2)


def test_from_the_fourth_call_of_a_tight_loop_on_only_one_in_a_few_is_said(one: Node, clock: Clock) -> None:
    in_a_streak(one, clock)
    began = clock.now - GAP / 2
    unsaid = []
    while clock.now < began + COVER:
        unsaid.append(add.async_(1))
        clock.later(GAP / 2)
    assert len(unsaid) >= 3
    assert one.names(50) is None
    handle = add.async_(2)
    assert one.names() == Names([handle.id], None, COVER), "and it asks for the next look"


def test_a_pause_ends_the_loop(one: Node, clock: Clock) -> None:
    in_a_streak(one, clock)
    clock.later(COVER + GAP)
    handle = add.async_(1)
    assert one.names() == Names([handle.id])


def test_a_single_call_soon_after_a_loop_is_found_by_the_look_as_well(one: Node, clock: Clock) -> None:
    in_a_streak(one, clock)
    clock.later(GAP)
    add.async_(1)
    assert one.names(50) is None


def test_what_is_due_later_is_always_said(one: Node, clock: Clock) -> None:
    in_a_streak(one, clock)
    with transaction.atomic():
        handle = add.async_(1)
        add.after(60, 2)
    message = one.names()
    assert message is not None
    assert message.ids == [handle.id]
    assert message.later is not None


def test_what_could_not_be_said_promises_no_look(clock: Clock, tmp_path, node: Callable[..., Node]) -> None:
    with override_settings(ZTASKD_URL=nobody(tmp_path)):
        for number in range(3 * STREAK):
            add.async_(number)
            assert not transport._transport._covered


def test_a_node_looks_once_more_when_what_goes_unsaid_is_committed() -> None:
    asked = Requests()
    dispatcher = dispatcher_of(asked, slots=2)
    watching = gevent.spawn(dispatcher.watch_clock)
    try:
        gevent.sleep(0)
        assert asked.looks == [({SLOTS: 2}, NONE)], "the sweep's"
        dispatcher.answered(Answer(looked=True))
        began = time.time()
        dispatcher.named(["a"], None, 0.05)
        assert asked.claims == [["a"]]
        dispatcher.answered(Answer(named=1))
        assert len(asked.looks) == 1, "nothing else is known of"
        while len(asked.looks) < 2:
            gevent.sleep(0.001)
        assert 0.05 <= time.time() - began < SWEEP / 2
    finally:
        watching.kill()
