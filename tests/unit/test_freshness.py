"""A control message takes effect once, and only soon after it was sent."""

from __future__ import annotations

import pytest

from django_ztask.errors import MessageError
from django_ztask.message import Control, control
from ztaskd import freshness
from ztaskd.freshness import FRESH, Freshness

NOW, CLOCK = 1_800_000_000.0, 50_000.0


@pytest.fixture
def fresh() -> Freshness:
    return Freshness(CLOCK - 10 * FRESH)


def why(fresh: Freshness, message: Control, now: float = NOW, clock: float = CLOCK) -> str:
    """The reason for a refusal; "" when it was taken."""
    try:
        fresh.check(message, now, clock)
    except MessageError as error:
        return error.reason
    return ""


@pytest.mark.parametrize(
    ("age", "expected"),
    [(0, ""), (FRESH, ""), (-FRESH, ""), (FRESH + 0.1, "stale"), (-FRESH - 0.1, "stale"), (1e300, "stale")],
)
def test_five_minutes_are_allowed_in_both_directions(fresh: Freshness, age: float, expected: str) -> None:
    assert why(fresh, control("ping", NOW - age)) == expected


@pytest.mark.parametrize("age", [FRESH, 1, 0, -1, -FRESH])
def test_the_same_message_is_taken_once_for_as_long_as_it_is_fresh(fresh: Freshness, age: float) -> None:
    message = control("ping", NOW - age)
    assert why(fresh, message) == ""
    for later in (0.0, FRESH + age - 0.5, FRESH + age):
        if later >= 0:
            expected = "replayed" if later + age <= FRESH else "stale"
            assert why(fresh, message, NOW + later, CLOCK + later) == expected
    assert why(fresh, message, NOW + 2 * FRESH + 1, CLOCK + 2 * FRESH + 1) == "stale"


def test_what_was_sent_before_the_node_started_is_stale_whatever_the_wall_clock_did() -> None:
    fresh = Freshness(CLOCK)
    assert why(fresh, control("stop", NOW - 2), NOW, CLOCK + 1) == "stale"
    assert why(fresh, control("stop", NOW - 0.5), NOW, CLOCK + 1) == ""
    assert why(fresh, control("stop", NOW - 3600), NOW - 3600, CLOCK + 2) == ""  # the clock was set back


def test_nonces_are_forgotten_with_their_messages(fresh: Freshness) -> None:
    for second in range(2000):
        assert why(fresh, control("ping", NOW + second), NOW + second, CLOCK + second) == ""
        assert len(fresh._seen) == len(fresh._by_age) <= FRESH + 1


def test_a_flood_is_bounded_and_still_nothing_is_taken_twice(
    fresh: Freshness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(freshness, "REMEMBERED", 100)
    sent = [control("ping", NOW + n / 100) for n in range(1000)]
    assert {why(fresh, message) for message in sent} == {""}
    assert len(fresh._seen) == len(fresh._by_age) == 100
    assert [why(fresh, message) for message in sent] == ["stale"] * 900 + ["replayed"] * 100
    assert why(fresh, control("ping", NOW + 11)) == ""
