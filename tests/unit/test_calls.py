"""What a task function's methods hand over to the client, and what they refuse in the caller."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import re
from decimal import Decimal
from typing import Any

import pytest

from django_ztask import client
from django_ztask.decorators import Options, TaskFunction, task

NAN, INF = float("nan"), float("inf")
Calls = list[tuple[TaskFunction[..., Any], list[Any], float]]


def plain(a: Any, b: Any = 2) -> Any:
    return a + b


@pytest.fixture(autouse=True)
def own_registry(functions: dict[str, Any]) -> None:
    """What these tests decorate is forgotten after each."""


@pytest.fixture
def handed_over(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """What reaches client.enqueue, in place of it."""
    calls: Calls = []

    def enqueue(function: Any, given: list[Any], after: float = 0.0) -> list[str]:
        calls.append((function, given, after))
        return [f"handle {n}" for n in range(len(given))]

    monkeypatch.setattr(client, "enqueue", enqueue)
    return calls


def test_every_spelling_hands_over_the_call(handed_over: Calls) -> None:
    made = task(plain)
    for call in (made.async_, made.delay, getattr(made, "async")):
        assert call(1, b=3) == "handle 0"
    assert made.after(2.5, 1, b=3) == "handle 0"
    assert asyncio.run(made.aasync(1, b=3)) == "handle 0"
    assert handed_over == [(made, [((1,), {"b": 3})], after) for after in (0.0, 0.0, 0.0, 2.5, 0.0)]


def test_map_hands_over_one_call_for_each_item(handed_over: Calls) -> None:
    made = task(plain)
    items = [1, (1,), (1, 2), [3, 4], "ab", {"a": 1}, None]
    assert made.map(item for item in items) == [f"handle {n}" for n in range(7)]
    [(_, calls, after)] = handed_over
    assert calls == [
        ((1,), {}),
        ((1,), {}),
        ((1, 2), {}),
        (([3, 4],), {}),
        (("ab",), {}),
        (({"a": 1},), {}),
        ((None,), {}),
    ]
    assert after == 0.0
    assert made.map([]) == []


@pytest.mark.parametrize("seconds", [0, 1, 0.3, 10**300])
def test_after_takes_whole_and_finite_numbers(seconds: Any, handed_over: Calls) -> None:
    task(plain).after(seconds, 1)
    assert handed_over[0][2] == seconds


@pytest.mark.parametrize(
    ("seconds", "error"),
    [
        (-1, ValueError),
        (-0.001, ValueError),
        (NAN, ValueError),
        (INF, ValueError),
        (-INF, ValueError),
        (10**400, ValueError),
        (True, TypeError),
        ("5", TypeError),
        (None, TypeError),
        (Decimal(5), TypeError),
        ([5], TypeError),
    ],
    ids=lambda value: type(value).__name__,
)
def test_after_refuses_anything_else_in_the_caller(
    seconds: Any, error: type[Exception], handed_over: Calls
) -> None:
    with pytest.raises(error, match="seconds"):
        task(plain).after(seconds, 1)
    assert handed_over == []


@pytest.mark.parametrize(("args", "kwargs"), [((), {}), ((1, 2, 3), {}), ((1,), {"c": 1}), ((1,), {"a": 1})])
def test_arguments_the_function_does_not_take_raise_in_the_caller(
    args: Any, kwargs: Any, handed_over: Calls
) -> None:
    made = task(plain)
    with pytest.raises(TypeError, match=rf"{made.name}: "):
        made.async_(*args, **kwargs)
    with pytest.raises(TypeError, match=rf"{made.name}: "):
        made.after(1, *args, **kwargs)
    with pytest.raises(TypeError, match=rf"{made.name}: "):
        asyncio.run(made.aasync(*args, **kwargs))
    assert handed_over == []


def no_arguments() -> None: ...
def needed(a: Any, b: Any) -> None: ...
def some(a: Any, b: Any = 1, *rest: Any) -> None: ...
def positional_only(a: Any, b: Any = 1, /) -> None: ...
def named(a: Any, *, b: Any = 1) -> None: ...
def must_be_named(a: Any, *, b: Any) -> None: ...
def anything(*args: Any, **kwargs: Any) -> None: ...


@pytest.mark.parametrize(
    "function", [no_arguments, needed, some, positional_only, named, must_be_named, anything]
)
def test_calls_are_refused_exactly_as_python_would_refuse_them(function: Any, handed_over: Calls) -> None:
    made = task(function)
    for count, kwargs in itertools.product(range(5), ({}, {"a": 1}, {"b": 1}, {"a": 1, "b": 1}, {"c": 1})):
        args = (0,) * count
        refusal = None
        try:
            inspect.signature(function).bind(*args, **kwargs)
        except TypeError as error:
            refusal = f"{made.name}: {error}"
        if refusal:
            with pytest.raises(TypeError, match=re.escape(refusal) + "$"):
                made.async_(*args, **kwargs)
        else:
            made.async_(*args, **kwargs)
            assert handed_over[-1] == (made, [(args, kwargs)], 0.0)


def test_one_wrong_item_of_map_refuses_them_all(handed_over: Calls) -> None:
    with pytest.raises(TypeError):
        task(plain).map([1, 2, (1, 2, 3)])
    assert handed_over == []


def test_a_function_may_have_an_argument_called_seconds(handed_over: Calls) -> None:
    def wait(seconds: float) -> None: ...

    task(wait).after(5, seconds=7)
    assert handed_over[0][1:] == ([((), {"seconds": 7})], 5)


def test_using_changes_the_options_of_its_calls_only(handed_over: Calls) -> None:
    made = task(queue="mail", retry_count=3)(plain)
    other = made.using(retry_count=None, priority=9)
    assert other.options == Options(queue="mail", priority=9)
    assert made.options == Options(queue="mail", retry_count=3)
    assert (other.name, other(1)) == (made.name, 3)
    other.using(timeout=1).async_(1)
    assert handed_over[0][0].options == Options(queue="mail", priority=9, timeout=1)


def test_using_a_name_makes_another_task_function_known_under_it(
    functions: dict[str, Any], handed_over: Calls
) -> None:
    made = task(queue="mail")(plain)
    other = made.using(name="shop.other", priority=1)
    assert functions == {made.name: made, "shop.other": other}
    assert (other(1), other.name, other.options) == (3, "shop.other", Options(queue="mail", priority=1))
    assert (made.name, made.options) == (f"{__name__}.plain", Options(queue="mail"))
    other.async_(1)
    assert handed_over[0][0] is other


@pytest.mark.parametrize("name", ["", "  ", 7, "x" * 256])
def test_using_a_wrong_name_is_refused(name: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="name"):
        task(plain).using(name=name)
