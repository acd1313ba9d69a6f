"""The rules of a task's life: every state with every event, and what each outcome leads to."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_ztask.lifecycle import (
    FINAL,
    MAX_BACKOFF,
    TRANSITIONS,
    UNKNOWN_GRACE,
    Event,
    Kind,
    RetryPolicy,
    Status,
    Verdict,
    decide,
)

ALLOWED = {
    ("QUEUED", "claim"): "RUNNING",
    ("QUEUED", "refuse"): "FAILED",
    ("RUNNING", "succeed"): "SUCCEEDED",
    ("RUNNING", "retry"): "QUEUED",
    ("RUNNING", "fail"): "FAILED",
    ("RUNNING", "hand back"): "QUEUED",
    ("RUNNING", "recover"): "QUEUED",
    ("QUEUED", "cancel"): "CANCELLED",
    ("RUNNING", "cancel"): "CANCELLED",
    ("FAILED", "replay"): "QUEUED",
}

POLICY = RetryPolicy(count=5, after=5.0)
DUE, NOW = 1000.0, 1010.0


@pytest.mark.parametrize(("status", "event"), list(itertools.product(Status, Event)))
def test_every_state_with_every_event(status: Status, event: Event) -> None:
    after = TRANSITIONS[status].get(event)
    assert after == ALLOWED.get((status.value, event.value))


@pytest.mark.parametrize(
    ("kind", "event"),
    [
        (Kind.SUCCESS, Event.SUCCEED),
        (Kind.FAILURE, Event.FAIL),
        (Kind.INTERRUPTED, Event.FAIL),
        (Kind.CRASH, Event.FAIL),
        (Kind.NOT_STARTED, Event.HAND_BACK),
        (Kind.UNKNOWN, Event.HAND_BACK),
        (Kind.CANCELLED, Event.CANCEL),
        (Kind.REFUSED, Event.FAIL),
    ],
)
def test_what_is_at_most_once_goes_back_only_when_it_has_not_started(kind: Kind, event: Event) -> None:
    verdict = decide(kind, retries_left=5, policy=POLICY, due=DUE, now=NOW, at_most_once=True)
    assert verdict == Verdict(event, 5, DUE)


@pytest.mark.parametrize(
    ("crashes_left", "event"), [(3, Event.HAND_BACK), (2, Event.HAND_BACK), (1, Event.FAIL)]
)
def test_a_crash_costs_no_retry_and_the_last_one_ends_the_task(crashes_left: int, event: Event) -> None:
    verdict = decide(Kind.CRASH, retries_left=5, policy=POLICY, due=DUE, now=NOW, crashes_left=crashes_left)
    assert verdict == Verdict(event, 5, DUE)


@pytest.mark.parametrize("status", Status)
def test_final_states_are_those_that_only_a_replay_leaves(status: Status) -> None:
    assert status.is_final == (status in FINAL)
    assert status.is_final == (set(TRANSITIONS[status]) <= {Event.REPLAY})


@pytest.mark.parametrize(
    ("kind", "retries_left", "event", "left", "due"),
    [
        (Kind.SUCCESS, 5, Event.SUCCEED, 5, DUE),
        (Kind.SUCCESS, 0, Event.SUCCEED, 0, DUE),
        (Kind.FAILURE, 5, Event.RETRY, 4, NOW + 5),
        (Kind.FAILURE, 1, Event.RETRY, 0, NOW + 5),
        (Kind.FAILURE, 0, Event.FAIL, 0, DUE),
        (Kind.INTERRUPTED, 5, Event.HAND_BACK, 5, DUE),
        (Kind.INTERRUPTED, 0, Event.HAND_BACK, 0, DUE),
        (Kind.NOT_STARTED, 3, Event.HAND_BACK, 3, DUE),
        (Kind.UNKNOWN, 3, Event.HAND_BACK, 3, DUE),
        (Kind.UNKNOWN, 0, Event.HAND_BACK, 0, DUE),
        (Kind.CANCELLED, 5, Event.CANCEL, 5, DUE),
        (Kind.CANCELLED, 0, Event.CANCEL, 0, DUE),
        (Kind.REFUSED, 5, Event.FAIL, 5, DUE),
        (Kind.REFUSED, 0, Event.FAIL, 0, DUE),
    ],
)
def test_what_an_outcome_leads_to(kind: Kind, retries_left: int, event: Event, left: int, due: float) -> None:
    verdict = decide(kind, retries_left=retries_left, policy=POLICY, due=DUE, now=NOW)
    assert verdict == Verdict(event, left, due)
    assert verdict.status == TRANSITIONS[Status.RUNNING][event]


@pytest.mark.parametrize(
    ("late", "replayed", "event"),
    [
        (0.0, False, Event.HAND_BACK),
        (UNKNOWN_GRACE - 0.001, False, Event.HAND_BACK),
        (UNKNOWN_GRACE, False, Event.FAIL),
        (UNKNOWN_GRACE + 1, False, Event.FAIL),
        (0.0, True, Event.FAIL),
        (-5.0, True, Event.FAIL),
    ],
)
def test_an_unknown_task_waits_an_hour_for_a_node_that_knows_it(
    late: float, replayed: bool, event: Event
) -> None:
    verdict = decide(Kind.UNKNOWN, retries_left=2, policy=POLICY, due=DUE, now=DUE + late, replayed=replayed)
    assert verdict == Verdict(event, 2, DUE)


def test_a_replayed_task_has_its_retries_like_any_other() -> None:
    verdict = decide(Kind.FAILURE, retries_left=5, policy=POLICY, due=DUE, now=NOW, replayed=True)
    assert verdict.event is Event.RETRY


@pytest.mark.parametrize(
    ("policy", "pauses"),
    [
        (RetryPolicy(3, 5.0), [5, 5, 5]),
        (RetryPolicy(4, 2.0, 3.0), [2, 6, 18, 54]),
        (RetryPolicy(3, 0.0, 2.0), [0, 0, 0]),
        (RetryPolicy(2, 0.5, 1.5), [0.5, 0.75]),
        (RetryPolicy(2, 200_000.0), [200_000, 200_000]),
        (RetryPolicy(2, 200_000.0, 2.0), [200_000, 200_000]),
        (RetryPolicy(3, 50_000.0, 2.0), [50_000, MAX_BACKOFF, MAX_BACKOFF]),
    ],
)
def test_the_pauses_between_attempts(policy: RetryPolicy, pauses: list[float]) -> None:
    assert [policy.pause(left) for left in range(policy.count, 0, -1)] == pauses


@pytest.mark.parametrize("backoff", [2, 2.0, 1e308, 10**6])
def test_a_pause_that_would_overflow_is_one_day(backoff: float) -> None:
    assert RetryPolicy(count=2000, after=5.0, backoff=backoff).pause(1) == MAX_BACKOFF


def test_no_pause_stays_no_pause_however_often_it_is_multiplied() -> None:
    assert RetryPolicy(count=5000, after=0.0, backoff=2.0).pause(1) == 0.0


def test_more_retries_left_than_the_policy_knows_is_the_first_pause() -> None:
    assert RetryPolicy(count=1, after=5.0, backoff=2.0).pause(9) == 5.0


@given(
    st.integers(0, 10**6),
    st.floats(0, 1e300),
    st.floats(1, 1e300),
    st.integers(1, 10**6),
)
def test_every_pause_is_finite_and_none_is_negative(
    count: int, after: float, backoff: float, left: int
) -> None:
    pause = RetryPolicy(count, after, backoff).pause(left)
    assert 0 <= pause <= max(MAX_BACKOFF, after)
