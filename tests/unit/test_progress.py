"""What progress() takes, what becomes of it, and how it is read again, whatever stands in the row."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from django.test import override_settings

from django_ztask import current_task, progress
from django_ztask.decorators import task
from django_ztask.execute import CurrentTask
from django_ztask.progress import TEXT, Progress
from ztaskd.commands import how_far

CURRENT = CurrentTask("id-1", "t.f", 2, 0)
Heard = list[tuple[str, int, Progress]]


@pytest.fixture
def heard() -> Iterator[Heard]:
    """What is said, as a node hears it."""
    said: Heard = []
    before = progress._heard
    progress.deliver_to(lambda task_id, attempt, last: said.append((task_id, attempt, last)))
    yield said
    progress.deliver_to(before)


def test_what_a_task_says_is_heard_with_its_attempt(heard: Heard) -> None:
    CURRENT.progress(1203, 5000, "parsing")
    [(task_id, attempt, said)] = heard
    assert (task_id, attempt) == ("id-1", 2)
    assert (said.done, said.total, said.text) == (1203, 5000, "parsing")
    assert said.fraction == pytest.approx(0.2406)


def test_nobody_need_hear_it() -> None:
    assert progress._heard is None
    CURRENT.progress(1)


@pytest.mark.parametrize(
    ("done", "total", "fraction"),
    [(0, None, None), (0, 0, 1.0), (0, 5, 0.0), (6, 5, 1.0), (2.5, 5, 0.5), (10**400, 10**401, None)],
)
def test_the_fraction_is_from_0_to_1(done: Any, total: Any, fraction: float | None, heard: Heard) -> None:
    if done == 10**400:
        with pytest.raises(ValueError, match=r"done of progress\(\) must be finite"):
            CURRENT.progress(done, total)
        return
    CURRENT.progress(done, total)
    assert heard[0][2].fraction == fraction


@pytest.mark.parametrize("value", [Decimal("2.5"), Fraction(5, 2), 2.5])
def test_every_kind_of_number_counts(value: Any, heard: Heard) -> None:
    CURRENT.progress(value, 2**70)
    assert (heard[0][2].done, heard[0][2].total) == (2.5, float(2**70))
    assert progress.of_row(progress.to_text(heard[0][2], 1)) == (1, heard[0][2])


@pytest.mark.parametrize("value", ["1", None, True, [], 1j, b"1"])
def test_what_is_no_number_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match=r"done of progress\(\) must be a number, not "):
        CURRENT.progress(value)
    if value is not None:
        with pytest.raises(TypeError, match=r"total of progress\(\) must be a number, not "):
            CURRENT.progress(1, value)


@pytest.mark.parametrize("value", [-1, -0.5, float("nan"), float("inf"), 10**400, Decimal("NaN")])
def test_a_number_that_is_no_amount_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"done of progress\(\) must be finite and 0 or more, not "):
        CURRENT.progress(value)
    with pytest.raises(ValueError, match=r"total of progress\(\) must be finite and 0 or more, not "):
        CURRENT.progress(1, value)


def test_a_text_is_cut_and_can_be_stored(heard: Heard) -> None:
    with pytest.raises(TypeError, match=r"the text of progress\(\) must be a str, not b'x'"):
        CURRENT.progress(1, text=b"x")  # type: ignore[arg-type]
    for text in ("ä" * 1000, "\0\x1b\ud800" * 100, "line\nline"):
        CURRENT.progress(1, text=text)
        said = heard[-1][2]
        assert len(said.text) <= TEXT
        stored = progress.to_text(said, 1)
        assert stored.isascii()
        assert progress.of_row(stored) == (1, said)
        assert how_far.words(said, said.at).isprintable()


@pytest.mark.parametrize(
    "text",
    ["", None, b"x", 7, "nonsense", "[]", "7", "{}", '{"attempt": 1}', "[" * 100_000]
    + [
        json.dumps({"attempt": 1, "done": 1, "total": None, "text": "", "at": 1.0, **wrong})
        for wrong in ({"done": "1"}, {"attempt": "one"}, {"at": None}, {"total": -1}, {"done": 10**400})
    ],
)
def test_what_somebody_has_typed_into_the_column_is_no_progress(text: Any) -> None:
    assert progress.of_row(text) is None
    assert how_far.of_row(text, 1, 0.0) is None
    assert how_far.for_machines(text) is None


def test_it_is_told_in_words() -> None:
    said = Progress(1203, 5000, "parsing", 100.0)
    assert how_far.words(said, 100.4) == '1,203 of 5,000 (24 %) "parsing", 0.4s ago'
    assert how_far.words(Progress(2.5, None, "", 100.0), 160.0) == "2.5, 1m ago"
    assert how_far.words(Progress(4999, 5000, "", 1.0), 1.0) == "4,999 of 5,000 (99 %), 0.0s ago"
    assert how_far.of_row(progress.to_text(said, 1), 2, 100.0) == (
        '1,203 of 5,000 (24 %) "parsing", 0.0s ago, in attempt 1'
    )


def test_outside_of_a_task_there_is_none_to_tell() -> None:
    assert current_task() is None


@override_settings(ZTASKD_ALWAYS_EAGER=True)
def test_an_eager_call_keeps_it_on_its_handle(functions: dict[str, Any], heard: Heard) -> None:
    @task()
    def counts(number: int, inner: bool = False) -> None:
        own = current_task()
        assert own is not None
        thread = threading.Thread(target=own.progress, args=(number, 10))
        thread.start()
        thread.join()
        if inner:
            assert counts.async_(1).progress.done == 1

    handle = counts.async_(4, inner=True)
    assert handle.progress is not None
    assert (handle.progress.done, handle.refresh().progress) == (4, handle.progress)
    assert counts.using(name="t.quiet").async_(2).progress.fraction == 0.2
    assert heard == [], "it is nobody's but the caller's"
    assert progress._eager == {}


@override_settings(ZTASKD_ALWAYS_EAGER=True)
def test_an_eager_call_that_says_nothing_or_fails_leaves_nothing(functions: dict[str, Any]) -> None:
    @task()
    def fails(wrong: Any = None) -> None:
        if wrong is not None:
            own = current_task()
            assert own is not None
            own.progress(wrong)

    assert fails.async_().progress is None
    with pytest.raises(TypeError, match="must be a number"):
        fails.async_("1")
    assert progress._eager == {}
