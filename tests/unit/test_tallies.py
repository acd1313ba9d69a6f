"""What a node counts of the tasks that end: rates, totals, the last failures."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from django_ztask.lifecycle import Event, Kind
from ztaskd.tallies import FAILURES, TEXT, Tallies


class Clock:
    """As the monotonic one, but it stands still."""

    def __init__(self) -> None:
        self.now = 1000.25

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def end(
    tallies: Tallies, event: Event = Event.SUCCEED, kind: Kind = Kind.SUCCESS, exception: str | None = None
) -> None:
    finish: Any = SimpleNamespace(
        task=SimpleNamespace(id="an-id", function_name="shop.tasks.mail"),
        attempt=3,
        verdict=SimpleNamespace(event=event),
        outcome=SimpleNamespace(kind=kind, exception=exception),
        finished=5.0,
    )
    tallies.hear("task_started", {"task": finish.task})
    tallies.hear("task_ended", {"finish": finish, "seconds": 0.1})


def test_totals_are_by_outcome_and_only_ends_count(clock: Clock) -> None:
    tallies = Tallies(clock)
    for event in (*Event.__members__.values(),):
        if event in (Event.SUCCEED, Event.RETRY, Event.FAIL, Event.CANCEL, Event.HAND_BACK):
            end(tallies, event)
    end(tallies)
    expected = {"succeeded": 2, "retried": 1, "failed": 1, "cancelled": 1, "handed_back": 1}
    assert tallies.totals() == expected
    clock.now += 5000
    tallies.rates()
    assert tallies.totals() == expected


def test_rates_forget_what_is_older_than_their_window(clock: Clock) -> None:
    tallies = Tallies(clock)
    clock.now = 2000.5
    for _ in range(100):
        end(tallies)
    clock.now = 2000.999
    end(tallies)
    assert tallies.rates()["10s"]["succeeded"] == pytest.approx(101 / 9.999, abs=0.001)
    clock.now = 2009.5
    assert tallies.rates()["10s"]["succeeded"] == pytest.approx(101 / 9.5, abs=0.001)
    clock.now = 2010.0
    rates = tallies.rates()
    assert rates["10s"]["succeeded"] == 0
    assert rates["60s"]["succeeded"] == pytest.approx(101 / 59, abs=0.001)
    clock.now = 2060.0
    assert tallies.rates()["60s"]["succeeded"] == 0
    assert tallies.totals()["succeeded"] == 101


def test_a_young_node_divides_by_its_age_and_never_by_less_than_a_second(clock: Clock) -> None:
    tallies = Tallies(clock)
    end(tallies)
    assert tallies.rates()["60s"]["succeeded"] == 1
    clock.now += 4
    assert tallies.rates()["60s"]["succeeded"] == 0.25


def test_the_last_failures_are_kept_in_short_and_successes_are_none(clock: Clock) -> None:
    tallies = Tallies(clock)
    end(tallies)
    end(tallies, Event.HAND_BACK, Kind.INTERRUPTED, "the node stops")
    end(tallies, Event.CANCEL, Kind.CANCELLED, "no")
    assert list(tallies.failures) == []
    end(tallies, Event.RETRY, Kind.FAILURE, "\nshop.Error: first line\nsecond line")
    assert tallies.failures[-1] == {
        "id": "an-id",
        "function": "shop.tasks.mail",
        "attempt": 3,
        "kind": "failure",
        "outcome": "retried",
        "exception": "shop.Error: first line",
        "time": 5.0,
    }
    for number in range(FAILURES):
        end(tallies, Event.FAIL, Kind.CRASH, f"{number}: \ud800" + "x" * 10 * TEXT)
    assert [failure["exception"][:1] for failure in tallies.failures] == list("01234")[:FAILURES]
    assert len(msgspec.msgpack.encode(list(tallies.failures))) < FAILURES * 4 * TEXT
    end(tallies, Event.FAIL, Kind.REFUSED)
    assert tallies.failures[-1]["exception"] == ""
