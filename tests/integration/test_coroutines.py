"""Coroutines without gevent, as a child runs them: a real event loop in a real thread."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import SyncToAsync, async_to_sync, sync_to_async

from django_ztask import execute
from django_ztask.errors import TaskInterrupted, TimeLimitExceeded
from ztaskd.coroutines import Coroutines
from ztaskd.workers.coroutines import InChild, _raise_in


@pytest.fixture
def coroutines() -> Iterator[Coroutines]:
    made = Coroutines(threading.get_ident, _raise_in)
    yield made
    made.stop(10)
    assert made._thread is None or not made._thread.is_alive()


def strike_when(began: threading.Event, place: InChild, error: BaseException) -> threading.Thread:
    """As a signal would, once the coroutine says that it is there."""

    def strike() -> None:
        assert began.wait(20)
        place.strike(error)

    thread = threading.Thread(target=strike)
    thread.start()
    return thread


@pytest.fixture
def place(coroutines: Coroutines) -> InChild:
    made = InChild()
    made._coroutines = coroutines
    return made


def test_a_value_and_an_error_come_back(coroutines: Coroutines) -> None:
    async def double(number: int) -> int:
        await asyncio.sleep(0)
        return 2 * number

    async def fail() -> None:
        raise ValueError("no stock")

    assert coroutines.run(lambda: double(21)) == 42
    with pytest.raises(ValueError, match="no stock") as caught:
        coroutines.run(fail)
    text = execute.format_traceback(caught.value)
    assert "in fail" in text
    assert "_supervise" not in text


def test_synchronous_parts_run_where_the_coroutine_is_waited_for(coroutines: Coroutines) -> None:
    async def main() -> list[Any]:
        loop = asyncio.get_running_loop()

        async def same_loop() -> bool:
            return asyncio.get_running_loop() is loop

        here = [await sync_to_async(threading.get_ident)() for _ in range(3)]
        return [*here, threading.get_ident(), await sync_to_async(lambda: async_to_sync(same_loop)())()]

    *parts, own, nested = coroutines.run(main)
    assert set(parts) == {threading.get_ident()}
    assert own != threading.get_ident()
    assert nested is True
    assert not hasattr(SyncToAsync.threadlocal, "main_event_loop"), "async_to_sync() would look for it later"
    assert len(SyncToAsync.context_to_thread_executor) == 0


def test_a_strike_cancels_waits_for_the_clean_up_and_comes_out(place: InChild) -> None:
    began, seen = threading.Event(), []

    async def main() -> None:
        began.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await sync_to_async(seen.append)("part")
            seen.append("cleaned")
            raise

    error = TimeLimitExceeded("too long")
    thread = strike_when(began, place, error)
    with pytest.raises(TimeLimitExceeded) as caught:
        place.run(main)
    thread.join()
    assert caught.value is error
    assert seen == ["part", "cleaned"]
    assert "await asyncio.sleep(60)" in execute.format_traceback(error)


def test_of_two_strikes_the_last_one_counts(place: InChild) -> None:
    began, again = threading.Event(), threading.Event()

    async def main() -> None:
        began.set()
        try:
            await asyncio.sleep(60)
        finally:
            again.set()
            await asyncio.sleep(60)

    threads = [
        strike_when(began, place, TimeLimitExceeded("too long")),
        strike_when(again, place, TaskInterrupted("the node stops")),
    ]
    with pytest.raises(TaskInterrupted):
        place.run(main)
    for thread in threads:
        thread.join()


def test_a_coroutine_that_takes_no_notice_returns_what_it_returns(place: InChild) -> None:
    began = threading.Event()

    async def main() -> str:
        began.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "in spite of it"
        return ""

    thread = strike_when(began, place, TimeLimitExceeded("too long"))
    assert place.run(main) == "in spite of it"
    thread.join()


def test_a_coroutine_that_never_yields_is_struck_all_the_same(place: InChild) -> None:
    began = threading.Event()

    async def spin() -> None:
        began.set()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            pass

    error = TimeLimitExceeded("too long")
    thread = strike_when(began, place, error)
    with pytest.raises(TimeLimitExceeded, match="too long") as caught:
        place.run(spin)
    thread.join()
    assert caught.value is error
    assert "in spin" in execute.format_traceback(error)


def test_tasks_and_threads_that_are_left_behind_are_over_when_it_is(coroutines: Coroutines) -> None:
    ended = []

    async def stay() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("task")

    async def main() -> None:
        main.left = asyncio.create_task(stay()), asyncio.create_task(asyncio.to_thread(work))  # type: ignore[attr-defined]
        await asyncio.sleep(0.01)

    def work() -> None:
        time.sleep(0.05)
        ended.append("thread")

    coroutines.run(main)
    assert sorted(ended) == ["task", "thread"]


def test_system_exit_in_a_task_of_its_own_ends_no_loop(
    coroutines: Coroutines, caplog: pytest.LogCaptureFixture
) -> None:
    async def leave() -> None:
        raise SystemExit(3)

    async def main() -> None:
        await asyncio.create_task(leave())

    async def fine() -> str:
        return "fine"

    with pytest.raises(SystemExit):
        coroutines.run(main)
    assert coroutines.run(fine) == "fine"
    assert "something a coroutine has left" in caplog.text


def test_a_coroutine_that_is_struck_before_its_first_step_is_closed(place: InChild) -> None:
    async def main() -> None:
        await asyncio.sleep(60)

    def start() -> Any:
        place.strike(TimeLimitExceeded("too long"))  # (it waits until the call is made)
        return main()

    with pytest.raises(TimeLimitExceeded):
        place.run(start)
