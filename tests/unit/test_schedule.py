"""When to look next, with a clock that the test turns."""

from __future__ import annotations

import itertools

import pytest

from ztaskd.schedule import HORIZON, MOST_AHEAD, SWEEP, Alarm, Pace

NOW = 1_800_000_000.0


def rung(at: float = NOW) -> Alarm:
    alarm = Alarm()
    assert alarm.ring(at)
    return alarm


def test_the_first_look_is_at_once() -> None:
    assert Alarm().wait(NOW) == 0.0
    assert Alarm().ring(NOW)


@pytest.mark.parametrize(
    ("after", "wait", "rings"),
    [(0.0, SWEEP, False), (0.25, 0.75, False), (1.0, 0.0, True), (60.0, 0.0, True)],
)
def test_without_a_due_time_it_rings_once_a_sweep(after: float, wait: float, rings: bool) -> None:
    alarm = rung()
    assert alarm.wait(NOW + after) == pytest.approx(wait)
    assert alarm.ring(NOW + after) is rings


@pytest.mark.parametrize(
    ("known", "due", "shorter", "then"),
    [
        (None, None, False, None),
        (None, 5.0, True, 5.0),
        (5.0, None, False, 5.0),
        (5.0, 5.0, False, 5.0),
        (5.0, 6.0, False, 5.0),
        (5.0, 4.0, True, 4.0),
    ],
)
def test_the_earliest_due_time_is_kept(
    known: float | None, due: float | None, shorter: bool, then: float | None
) -> None:
    alarm = Alarm()
    alarm.arm(known)
    assert alarm.arm(due) is shorter
    assert alarm.due == then


def test_it_rings_at_the_due_time_and_forgets_it() -> None:
    alarm = rung()
    alarm.arm(NOW + 0.3)
    assert alarm.wait(NOW) == pytest.approx(0.3)
    assert not alarm.ring(NOW + 0.29)
    assert alarm.ring(NOW + 0.3)
    assert alarm.due is None
    assert alarm.wait(NOW + 0.3) == pytest.approx(SWEEP)


def test_a_due_time_that_has_passed_is_not_waited_for() -> None:
    alarm = rung()
    alarm.arm(NOW - 5)
    assert alarm.wait(NOW) == 0.0
    assert alarm.ring(NOW)


def test_a_far_due_time_does_not_delay_the_sweep() -> None:
    alarm = rung()
    alarm.arm(NOW + 3600)
    assert alarm.wait(NOW) == pytest.approx(SWEEP)
    assert alarm.ring(NOW + SWEEP)
    assert alarm.due == NOW + 3600


@pytest.mark.parametrize("back", [0.1, 1.0, 3600.0, 10**9])
def test_a_clock_that_is_set_back_costs_no_more_than_one_sweep(back: float) -> None:
    alarm = rung()
    alarm.arm(NOW + 0.5)
    assert alarm.wait(NOW - back) <= SWEEP
    assert alarm.ring(NOW - back)
    assert not alarm.ring(NOW - back + SWEEP / 2)
    assert alarm.ring(NOW - back + SWEEP)


def test_a_clock_that_is_set_forward_rings() -> None:
    alarm = rung()
    alarm.arm(NOW + 10)
    assert alarm.ring(NOW + 3600)
    assert alarm.due is None


def test_it_rings_when_what_goes_unsaid_is_all_committed() -> None:
    alarm = rung()
    assert alarm.again(NOW + 0.004)
    assert alarm.wait(NOW) == pytest.approx(0.004, abs=1e-6)
    assert not alarm.ring(NOW + 0.003)
    assert alarm.ring(NOW + 0.004)
    assert not alarm.ring(NOW + 0.1), "once"
    assert alarm.again(NOW + 0.2), "and each time anew"


def test_of_many_such_times_it_rings_at_the_first_and_after_the_last_and_none_waits_for_ever() -> None:
    """Callers in a tight loop push the last one on and on."""
    alarm, rings = rung(), []
    for n in range(500):  # one each millisecond, 4 ms ahead
        now = NOW + n / 1000
        alarm.again(now + 0.004)
        if alarm.ring(now):
            rings.append(n)
    assert rings[0] == 4
    assert max(after - before for before, after in itertools.pairwise(rings)) <= 5
    assert alarm.ring(NOW + 0.499 + 0.004)
    assert not alarm.ring(NOW + 0.6)


def test_a_time_to_look_again_and_a_due_time_do_not_hide_each_other() -> None:
    alarm = rung()
    alarm.arm(NOW + 0.3)
    alarm.again(NOW + 0.004)
    assert alarm.wait(NOW) == pytest.approx(0.004, abs=1e-6)
    assert alarm.ring(NOW + 0.004)
    assert alarm.wait(NOW + 0.004) == pytest.approx(0.296, abs=1e-6)
    alarm.again(NOW + 0.5)
    assert alarm.ring(NOW + 0.3)
    assert alarm.wait(NOW + 0.3) == pytest.approx(0.2, abs=1e-6)


def test_a_clock_that_was_set_back_hides_no_time_to_look_again() -> None:
    alarm = rung()
    alarm.again(NOW + 0.004)
    assert alarm.ring(NOW - 3600)
    assert alarm.again(NOW - 3600 + 0.004)
    assert alarm.ring(NOW - 3600 + 0.004)
    assert alarm.again(NOW - 3600 + 0.01)
    assert alarm.ring(NOW - 3600 + 0.01)


def test_nothing_is_claimed_ahead_before_anything_was_finished() -> None:
    assert Pace().ahead(5.0) == 0


def test_as_much_is_claimed_ahead_as_was_finished_in_the_last_horizon() -> None:
    pace = Pace()
    for n in range(40):
        pace.finished(100.0 + n / 1000)
    assert pace.ahead(100.04) == 40
    assert pace.ahead(100.0 + HORIZON * 1.01) == 40, "the horizon before counts as well"
    pace.finished(100.0 + HORIZON * 1.02)
    assert pace.ahead(100.0 + HORIZON * 1.03) == 40
    assert pace.ahead(100.0 + HORIZON * 2.5) == 1
    assert pace.ahead(100.0 + HORIZON * 9) == 0


def test_there_is_a_limit_to_what_is_claimed_ahead() -> None:
    pace = Pace()
    for _ in range(MOST_AHEAD + 500):
        pace.finished(100.0)
    assert pace.ahead(100.0) == MOST_AHEAD


def test_a_clock_that_is_set_back_starts_the_count_anew() -> None:
    pace = Pace()
    pace.finished(100.0)
    assert pace.ahead(50.0) == 0
    pace.finished(50.01)
    assert pace.ahead(50.02) == 1
