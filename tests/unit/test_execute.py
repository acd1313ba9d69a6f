"""One attempt: whatever the task function does, an Outcome fit for a database comes back."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any

import gevent
import pytest

from django_ztask import current_task, execute, serialize
from django_ztask.conf import keys
from django_ztask.decorators import task
from django_ztask.errors import TaskInterrupted, TimeLimitExceeded
from django_ztask.execute import CurrentTask
from django_ztask.lifecycle import Kind, Outcome
from django_ztask.serialize import Payload

ID = "01931f2c-7a3b-7f00-8000-000000000001"
colour: contextvars.ContextVar[str] = contextvars.ContextVar("colour", default="none")


class Silent(Exception):
    def __str__(self) -> str:
        raise RuntimeError("even its text")


class Leaving(Exception):
    def __str__(self) -> str:
        raise SystemExit(4)


class Numeric(Exception):
    def __str__(self) -> Any:
        return 42


@pytest.fixture(autouse=True)
def own_registry(functions: dict[str, Any]) -> None:
    """Task functions of one test are unknown to the next."""


def sign(payload: Payload, name: str = "t.f") -> str:
    return serialize.mac(ID, name, payload, keys("row")[0])


def run(function: Any, *args: Any, limit: Any = None) -> Outcome:
    task(name="t.f")(function)
    payload = serialize.dump_call(args, {})
    return execute.run(CurrentTask(ID, "t.f", 3, 2), payload, sign(payload), limit)


def raising(error: BaseException | type[BaseException]) -> Any:
    def guilty() -> None:
        raise error

    return guilty


def test_a_success_is_its_result_as_text() -> None:
    def add(a: int, b: int) -> Any:
        return {"sum": a + b}

    assert run(add, 2, 3) == Outcome(Kind.SUCCESS, result='{"sum":5}')


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("no stock"), "ValueError: no stock"),
        (ValueError(), "ValueError"),
        (SystemExit(3), "SystemExit: 3"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (GeneratorExit(), "GeneratorExit"),
        (gevent.GreenletExit("out"), "greenlet.GreenletExit: out"),
        (gevent.Timeout(1), "gevent.timeout.Timeout: 1 second"),
        (BaseException("bare"), "BaseException: bare"),
        (BaseExceptionGroup("two", [SystemExit(5)]), "BaseExceptionGroup: two (1 sub-exception)"),
        (RecursionError("deep"), "RecursionError: deep"),
        (MemoryError(), "MemoryError"),
        (Silent(), f"{__name__}.Silent: <its __str__ raised>"),
        (Leaving(), f"{__name__}.Leaving: <its __str__ raised>"),
        (Numeric(), f"{__name__}.Numeric: <its __str__ raised>"),
        (ValueError("a\0b"), "ValueError: a\\x00b"),
        (ValueError("a\ud800b"), "ValueError: a\\ud800b"),
        (TimeLimitExceeded("too long"), "django_ztask.errors.TimeLimitExceeded: too long"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_whatever_is_raised_is_a_failure_with_its_text(error: BaseException, text: str) -> None:
    outcome = run(raising(error))
    assert outcome.kind is Kind.FAILURE
    assert outcome.exception == text
    assert outcome.traceback is not None
    assert "in guilty" in outcome.traceback
    assert "\0" not in outcome.traceback
    outcome.traceback.encode()


def test_the_traceback_begins_at_the_task_function() -> None:
    outcome = run(raising(ValueError("no stock")))
    assert outcome.traceback is not None
    lines = outcome.traceback.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert "in guilty" in lines[1]
    assert lines[-1] == "ValueError: no stock"
    assert execute.__file__ not in outcome.traceback


def test_a_huge_message_and_a_huge_traceback_are_cut() -> None:
    outcome = run(raising(ValueError("x" * 1_000_000)))
    assert outcome.exception is not None
    assert outcome.traceback is not None
    assert len(outcome.exception) == execute.MESSAGE_LIMIT
    assert len(outcome.traceback) < execute.TRACEBACK_LIMIT + 100
    assert "left out" in outcome.traceback
    assert outcome.traceback.startswith("Traceback")


def test_an_interruption_is_told_from_a_failure() -> None:
    assert run(raising(TaskInterrupted("the node stops"))).kind is Kind.INTERRUPTED


def test_the_limit_is_around_the_call_and_may_raise_in_it() -> None:
    seen: list[str] = []

    @contextlib.contextmanager
    def limit() -> Iterator[None]:
        seen.append("before")
        yield
        seen.append("after")
        raise TimeLimitExceeded("too long")

    outcome = run(lambda: seen.append("call"), limit=limit())
    assert seen == ["before", "call", "after"]
    assert outcome.kind is Kind.FAILURE


def test_arguments_that_do_not_fit_are_a_failure_of_the_task() -> None:
    outcome = run(lambda: None, 1, 2)
    assert outcome.kind is Kind.FAILURE
    assert outcome.exception is not None
    assert outcome.exception.startswith("TypeError: ")


class Poison:
    def __reduce__(self) -> Any:
        raise KeyboardInterrupt


def test_a_result_that_cannot_be_carried_is_no_failure() -> None:
    outcome = run(lambda: (n for n in "x"))
    assert outcome.kind is Kind.SUCCESS
    assert outcome.result is not None
    assert outcome.result.startswith("repr:<generator")
    assert run(lambda: Poison()).kind in (Kind.SUCCESS, Kind.FAILURE)


def test_the_current_task_is_known_inside_and_only_there() -> None:
    seen: list[Any] = []
    run(lambda: seen.append(current_task()))
    assert seen == [CurrentTask(ID, "t.f", 3, 2)]
    assert current_task() is None


def test_context_variables_reach_neither_the_next_task_nor_the_slot() -> None:
    def paint() -> str:
        before = colour.get()
        colour.set("red")
        return before

    token = colour.set("green")
    try:
        assert run(paint).result == '"none"'
        assert run(paint).result == '"none"'
        assert colour.get() == "green"
    finally:
        colour.reset(token)
