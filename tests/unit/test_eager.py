"""ZTASKD_ALWAYS_EAGER and ZTASKD_DISABLED: no row, no socket, and handles that say what happened."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import pytest
from django.test import override_settings
from django.utils import translation

from django_ztask import TaskCancelled, current_task
from django_ztask.decorators import TaskFunction, task
from django_ztask.errors import ArgumentError, ResultUnavailable
from tests.project.shop.tasks import add

eager = override_settings(ZTASKD_ALWAYS_EAGER=True)
disabled = override_settings(ZTASKD_DISABLED=True)


@pytest.fixture
def keep(functions: dict[str, Any]) -> TaskFunction[..., Any]:
    """A task function that gives back what it got. It is local: eager calls need no import."""

    @task()
    def keep(*args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    return keep


@eager
def test_an_eager_task_that_cancels_itself_harms_no_caller(functions: dict[str, Any]) -> None:
    @task()
    def gives_up() -> None:
        raise TaskCancelled("not needed")

    handle = gives_up.async_()
    assert (handle.status, handle.cancel(), handle.refresh().status) == ("CANCELLED", True, "CANCELLED")
    with pytest.raises(ResultUnavailable, match="was cancelled"):
        handle.result()


@eager
def test_an_eager_call_has_run_when_it_returns(keep: TaskFunction[..., Any]) -> None:
    handle = keep.async_(1, b="two")
    assert handle.status == "SUCCEEDED"
    assert handle.result() == ((1,), {"b": "two"})
    assert handle.result(timeout=0) == handle.refresh().result()
    assert len(handle.id) == 36
    assert handle.id in repr(handle)


@eager
def test_every_spelling_is_eager_and_after_does_not_wait(keep: TaskFunction[..., Any]) -> None:
    handles = [keep.delay(1), keep.after(3600, 1), asyncio.run(keep.aasync(1)), *keep.map([1, (1,)])]
    assert [handle.result() for handle in handles] == [((1,), {})] * 5
    assert len({handle.id for handle in handles}) == 5


@eager
def test_eager_arguments_make_the_round_trip_through_the_serializer(keep: TaskFunction[..., Any]) -> None:
    given = {"list": [1]}
    [(got,), _] = keep.async_(given).result()
    assert got == given
    assert got is not given
    assert got["list"] is not given["list"]
    with pytest.raises(ArgumentError, match="argument 1"):
        keep.async_(threading.Lock())
    with override_settings(ZTASKD_PICKLE=False), pytest.raises(ArgumentError, match="ZTASKD_PICKLE"):
        keep.async_((1, 2))


@eager
@pytest.mark.parametrize("error", [ValueError("no stock"), SystemExit(3), KeyError("x")])
def test_the_exception_of_an_eager_call_reaches_the_caller(
    error: BaseException, functions: dict[str, Any]
) -> None:
    @task()
    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        fail.async_()
    assert caught.value is error


@eager
def test_a_wrong_signature_is_refused_before_an_eager_call() -> None:
    with pytest.raises(TypeError, match=r"shop\.tasks\.add: "):
        add.async_(1, 2, 3)


@eager
def test_an_eager_task_knows_itself(functions: dict[str, Any]) -> None:
    who = task(name="shop.who")(lambda: current_task())
    handle = who.async_()
    known = handle.result()
    assert (known.id, known.function_name, known.attempt) == (handle.id, "shop.who", 1)
    assert current_task() is None


@eager
def test_one_eager_task_inside_another_knows_itself_and_the_outer_one_is_kept(
    functions: dict[str, Any],
) -> None:
    @task()
    def inner() -> Any:
        return current_task()

    @task()
    def outer() -> Any:
        return inner.async_().result(), current_task()

    handle = outer.async_()
    within, without = handle.result()
    assert without.id == handle.id
    assert within.id != handle.id
    assert within.function_name.endswith("inner")


@eager
def test_what_an_eager_task_sets_in_context_variables_ends_with_it(functions: dict[str, Any]) -> None:
    speak = task()(lambda language: translation.activate(language))
    with translation.override("de"):
        speak.async_("fr")
        assert translation.get_language() == "de"


@disabled
def test_a_disabled_call_is_logged_and_its_handle_says_so(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="ztaskd")
    handle = add.async_(1, 2)
    assert handle.status == "DISABLED"
    assert handle.refresh() is handle
    with pytest.raises(ResultUnavailable, match="ZTASKD_DISABLED"):
        handle.result(timeout=0)
    [line] = [record.getMessage() for record in caplog.records]
    assert handle.id in line
    assert "tests.project.shop.tasks.add" in line
    assert "ZTASKD_DISABLED" in line


@disabled
def test_every_spelling_is_disabled(keep: TaskFunction[..., Any]) -> None:
    handles = [keep.delay(1), keep.after(1, 1), asyncio.run(keep.aasync(1)), *keep.map([1, 2])]
    assert [handle.status for handle in handles] == ["DISABLED"] * 5


def test_disabled_comes_before_eager() -> None:
    with override_settings(ZTASKD_DISABLED=True, ZTASKD_ALWAYS_EAGER=True):
        assert add.async_(1).status == "DISABLED"


@disabled
def test_a_direct_call_runs_even_when_disabled() -> None:
    assert add(1, 2) == 3
