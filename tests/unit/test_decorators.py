"""@task(): what it takes and refuses, and what the caller of a task function is told at once."""

from __future__ import annotations

import copy
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from django_ztask import client, decorators
from django_ztask.decorators import Options, TaskFunction, task

NAN, INF = float("nan"), float("inf")


def plain(a: Any, b: Any = 2) -> Any:
    """Adds."""
    return a + b


@pytest.fixture(autouse=True)
def own_registry(functions: dict[str, Any]) -> None:
    """What these tests decorate is forgotten after each."""


@pytest.mark.parametrize("decorate", [task, task()], ids=["bare", "called"])
def test_a_task_function_is_still_the_function(decorate: Callable[..., Any]) -> None:
    made = decorate(plain)
    assert isinstance(made, TaskFunction)
    assert made(1) == 3
    assert made(1, b=1) == 2
    assert (made.__name__, made.__doc__, made.__module__) == ("plain", "Adds.", __name__)
    assert made.__wrapped__ is plain
    assert made.name == f"{__name__}.plain"
    assert made.name in repr(made)
    assert made.options == Options()


def test_the_functions_own_attributes_do_not_disturb_the_task() -> None:
    def odd() -> str:
        return "odd"

    odd.name, odd.options, odd.function = "other", {}, None  # type: ignore[attr-defined]
    made = task(name="shop.odd")(odd)
    assert made() == "odd"
    assert made.name == "shop.odd"
    assert made.options == Options()


def test_every_option_is_kept() -> None:
    options = {
        "queue": "mail",
        "priority": -5,
        "retry_count": 0,
        "retry_after": 1,
        "backoff": 1.5,
        "timeout": 0.5,
        "pool": "process",
    }
    made = task(name="shop.add", **options)(plain)
    assert made.name == "shop.add"
    assert made.options == Options(**options)
    assert made.options.policy() == {"retry_count": 0, "retry_after": 1, "backoff": 1.5, "timeout": 0.5}
    assert task(plain).options.policy() == {}


WRONG: list[tuple[dict[str, Any], type[Exception]]] = [
    *[({"name": value}, TypeError) for value in ("", "  ", 7, b"x")],
    *[({"queue": value}, ValueError) for value in ("", None, 7, "x" * 101)],
    *[({"priority": value}, TypeError) for value in (None, 1.0, "1", True)],
    *[({"priority": value}, ValueError) for value in (-32769, 32768)],
    *[({"retry_count": value}, TypeError) for value in (1.0, "1", False)],
    *[({"retry_count": value}, ValueError) for value in (-1, 2**31)],
    *[
        ({name: value}, TypeError)
        for name in ("retry_after", "backoff", "timeout")
        for value in ("5", True, Decimal(1), [1])
    ],
    *[
        ({name: value}, ValueError)
        for name in ("retry_after", "backoff", "timeout")
        for value in (NAN, INF, -INF, -1, 10**400)
    ],
    *[({"backoff": value}, ValueError) for value in (0, 0.99)],
    ({"timeout": 0}, ValueError),
    *[({"pool": value}, ValueError) for value in ("", "thread", "Process", "process ", 7, True, [])],
]


def identify(value: Any) -> str:
    return f"{next(iter(value))}" if isinstance(value, dict) else value.__name__


@pytest.mark.parametrize(("options", "error"), WRONG, ids=identify)
def test_a_wrong_option_is_refused_at_import_and_named(
    options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error, match=next(iter(options))):
        task(**options)


@pytest.mark.parametrize(
    ("options", "error"),
    [pair for pair in WRONG if "name" not in pair[0]],
    ids=identify,
)
def test_a_wrong_option_of_one_call_is_refused_as_well(
    options: dict[str, Any], error: type[Exception]
) -> None:
    made = task(plain)
    with pytest.raises(error, match=next(iter(options))):
        made.using(**options)


@pytest.mark.parametrize("pool", ["greenlet", "process", None])
def test_a_task_may_choose_where_it_runs(pool: str | None) -> None:
    assert task(pool=pool)(plain).options.pool == pool
    assert task(plain).using(pool=pool).options.pool == pool
    assert task(pool="process")(plain).using(priority=1).options.pool == "process"


def test_a_wrong_pool_is_told_which_there_are() -> None:
    with pytest.raises(ValueError, match='pool must be "greenlet" or "process", not \'gevent\''):
        task(pool="gevent")


@pytest.mark.parametrize("unknown", ["retries", "Queue", "delay"])
def test_an_unknown_option_lists_those_there_are(unknown: str) -> None:
    with pytest.raises(TypeError, match=rf"{unknown}.*queue.*timeout"):
        task(**{unknown: 1})
    with pytest.raises(TypeError, match=rf"{unknown}.*queue.*timeout"):
        task(plain).using(**{unknown: 1})


@pytest.mark.parametrize(
    "thing",
    ["name", 7, len, print, str, Options, staticmethod(plain), classmethod(plain), {}],
    ids=lambda thing: repr(thing).partition(" at 0x")[0],
)
def test_only_plain_functions_become_tasks(thing: Any) -> None:
    with pytest.raises(TypeError, match="plain function"):
        task(thing)


def test_an_async_function_becomes_a_task_and_calling_it_makes_its_coroutine() -> None:
    async def double(number: int) -> int:
        return 2 * number

    made = task(name="t.double")(double)
    assert made.is_async
    assert made.using(priority=1).is_async
    assert not task(name="t.plain")(plain).is_async
    coroutine = made(21)
    with pytest.raises(StopIteration) as ended:
        coroutine.send(None)
    assert ended.value.value == 42


def test_an_async_generator_is_refused_with_a_reason() -> None:
    async def generator() -> Any:
        yield 1

    with pytest.raises(TypeError, match="generator is an async generator"):
        task()(generator)


def test_a_name_longer_than_its_column_is_refused() -> None:
    task(name="x" * 255)(plain)
    with pytest.raises(ValueError, match="255"):
        task(name="x" * 256)(plain)


def test_two_functions_of_one_name_are_refused_and_both_are_named() -> None:
    task(name="shop.same")(plain)
    with pytest.raises(ValueError, match=r"'shop\.same' is taken by .*\.plain.*identify.*@task\(name="):
        task(name="shop.same")(identify)


def test_a_module_that_is_imported_again_replaces_its_own(functions: dict[str, Any]) -> None:
    task(plain)
    again = task(plain)
    assert functions[again.name] is again


def test_a_task_function_can_be_copied() -> None:
    assert copy.copy(task(plain))(1) == 3


def test_decorating_neither_looks_at_settings_nor_at_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "conf", None)
    assert not hasattr(decorators, "conf")
    task(plain)


def test_at_most_once_is_part_of_the_policy_and_leaves_no_retries() -> None:
    once = task(at_most_once=True)(plain)
    assert once.options.policy() == {"at_most_once": True}
    assert once.options.retries(5) == 0
    assert task()(plain).options.policy() == {}


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"at_most_once": True, "retry_count": 3}, ValueError),
        ({"at_most_once": 1}, TypeError),
        ({"at_most_once": None}, TypeError),
    ],
)
def test_at_most_once_does_not_go_with_retries(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match="at_most_once"):
        task(**options)
    with pytest.raises(error, match="at_most_once"):
        task()(plain).using(**options)


@pytest.mark.parametrize("text", ["a\0b", "a\ud800b", "a\nb"])
def test_a_queue_or_a_name_that_a_database_would_refuse_is_refused_at_once(text: str) -> None:
    for options in ({"queue": text}, {"name": text}):
        with pytest.raises(ValueError, match="printable"):
            task(**options)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="printable"):
        task()(plain).using(queue=text)
