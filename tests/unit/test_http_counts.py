"""What is counted for /metrics, and under which names."""

from __future__ import annotations

import time

import pytest

from django_ztask.lifecycle import Event, Kind, Outcome, Verdict
from django_ztask.rows import Claimed, Finish
from django_ztask.serialize import Payload
from ztaskd.http.counts import MOST, OTHER, Counts, Histogram
from ztaskd.http.lag import WINDOW, Lag

ENDS = [
    (Kind.SUCCESS, Event.SUCCEED, "succeeded"),
    (Kind.FAILURE, Event.RETRY, "retried"),
    (Kind.FAILURE, Event.FAIL, "failed"),
    (Kind.CRASH, Event.HAND_BACK, "crashed"),
    (Kind.CRASH, Event.FAIL, "failed"),
    (Kind.INTERRUPTED, Event.HAND_BACK, "interrupted"),
    (Kind.INTERRUPTED, Event.FAIL, "failed"),
    (Kind.CANCELLED, Event.CANCEL, "cancelled"),
    (Kind.NOT_STARTED, Event.HAND_BACK, "handed_back"),
    (Kind.UNKNOWN, Event.HAND_BACK, "handed_back"),
    (Kind.REFUSED, Event.FAIL, "failed"),
]


def task(name: str = "shop.tasks.add", due: float = 0.0) -> Claimed:
    return Claimed("id", name, Payload("json", "[]", "{}"), "", "", due, 0, 5, 1, 0, 0, {})


def finish(kind: Kind, event: Event, name: str = "shop.tasks.add", started: float | None = 1.0) -> Finish:
    return Finish(task(name), 1, Verdict(event, 5, 0.0), Outcome(kind), started, 2.0)


def ended(counts: Counts, what: Finish, seconds: float = 0.5) -> None:
    counts.hear("task_ended", {"finish": what, "seconds": seconds})


def numbers(counts: Counts, name: str = "shop.tasks.add") -> dict[str, int]:
    return {word: n for word, n in counts.functions[name].by_outcome().items() if n}


@pytest.mark.parametrize(("kind", "event", "outcome"), ENDS)
def test_each_end_has_one_name(functions: dict[str, object], kind: Kind, event: Event, outcome: str) -> None:
    functions["shop.tasks.add"] = object()
    counts = Counts()
    ended(counts, finish(kind, event))
    ended(counts, finish(kind, event, started=None))
    assert numbers(counts) == {outcome: 2}
    assert sum(counts.functions["shop.tasks.add"].runs.counts) == 1
    assert counts.retries == 2 * (event is Event.RETRY)
    assert counts.crashes == 2 * (kind is Kind.CRASH)
    assert counts.interruptions == 2 * (kind is Kind.INTERRUPTED)


def test_ends_that_housekeeping_writes_count_as_well() -> None:
    counts = Counts()
    counts.hear("task_failed_odd", {"id": "1", "function": "a.b"})
    counts.hear("task_cancelled", {"id": "1", "function": "a.b"})
    counts.hear("row_unreadable", {"id": "1", "error": ValueError()})
    counts.hear("task_fenced", {"task": task()})
    counts.hear("node_ready", {"anything": 1})
    assert numbers(counts, OTHER) == {"failed": 2, "cancelled": 1}
    assert counts.fenced == 1


def test_names_that_nobody_has_become_no_labels(functions: dict[str, object]) -> None:
    counts = Counts()
    for n in range(1000):
        counts.hear("task_started", {"task": task(f"forged.{n}")})
        ended(counts, finish(Kind.UNKNOWN, Event.HAND_BACK, f"forged.{n}", None))
        ended(counts, finish(Kind.REFUSED, Event.FAIL, f"forged.{n}", None))
    assert list(counts.functions) == [OTHER]
    assert numbers(counts, OTHER) == {"handed_back": 1000, "failed": 1000}
    ended(counts, finish(Kind.SUCCESS, Event.SUCCEED, "known.to.a.child"))
    assert numbers(counts, "known.to.a.child") == {"succeeded": 1}


def test_there_are_never_more_labels_than_a_few_hundred(functions: dict[str, object]) -> None:
    counts = Counts()
    for n in range(2 * MOST):
        functions[f"tasks.{n}"] = object()
        counts.hear("task_started", {"task": task(f"tasks.{n}")})
    assert len(counts.functions) == MOST + 1
    assert counts.functions[OTHER].started == MOST
    assert sum(each.started for each in counts.functions.values()) == 2 * MOST


def test_who_is_early_has_not_waited() -> None:
    counts = Counts()
    counts.hear("task_started", {"task": task(due=time.time() + 60)})
    assert (counts.waits.counts[0], counts.waits.total) == (1, 0.0)


def test_a_bound_belongs_to_what_is_below_it() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 2.5):
        histogram.observe(value)
    assert histogram.buckets() == [("1.0", 2.0), ("2.0", 4.0), ("+Inf", 5.0)]
    assert histogram.total == 7.5


def test_the_worst_lag_is_remembered_for_a_while() -> None:
    lag = Lag()
    for now, seconds in enumerate([0.0, 40.0, 0.1, 0.2]):
        lag.note(seconds, float(now))
    assert (lag.last, lag.worst(1 + WINDOW)) == (0.2, 40.0)
    assert lag.worst(1.5 + WINDOW) == 0.2
    assert lag.worst(100.0) == 0.0
