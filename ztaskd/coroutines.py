"""Where `async def` task functions run: on one event loop, in a thread of its own, for all of this process.

Who runs an attempt (a slot, a child's main thread) waits for its coroutine here, and meanwhile does its synchronous
parts: what it awaits with sync_to_async(), so also Django's ORM, runs at the attempt's own place, on the place's own
connections. Only names of the standard library: gevent, where it is patched in, makes a thread a greenlet.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

from asgiref.sync import SyncToAsync, ThreadSensitiveContext

from django_ztask.errors import TaskInterrupted, TimeLimitExceeded
from ztaskd.cleaning import clean_connections

# What is raised from outside in a task, wherever it is.
STRIKES = (TimeLimitExceeded, TaskInterrupted)

# How many asyncio.to_thread() run at a time; more of them wait.
THREADS = 32

# Seconds for which a coroutine that is to end may keep the loop to itself.
PATIENCE = 0.5

Start = Callable[[], Coroutine[Any, Any, Any]]

logger = logging.getLogger("ztaskd")

_call: contextvars.ContextVar[Call | None] = contextvars.ContextVar("ztaskd_call", default=None)


class Coroutines:
    """`insist` ends a step of a coroutine that does not yield, where that is possible: given the loop's thread and
    the kind of error."""

    def __init__(self, insist: Callable[[threading.Thread, type[BaseException]], None] | None = None) -> None:
        self._insist = insist
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stopping = False

    def run(self, start: Start) -> Any:
        """What the coroutine that `start` makes returns or raises. Whatever is raised in the caller meanwhile cancels
        it: CancelledError at its `await`; its clean-ups are waited for, and then the caller gets what was raised."""
        return self.call(start).wait()

    def call(self, start: Start) -> Call:
        """A coroutine that has been handed to the loop; to be waited for."""
        coroutine = start()
        insist = None if self._insist is None else self._insist_on
        return Call(self._ready(), coroutine, insist)

    def stop(self, timeout: float) -> None:
        """Ends the loop and its thread, if there is one."""
        if self._loop is not None and self._thread is not None:
            self._stopping = True
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(timeout)

    def _ready(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.SelectorEventLoop()  # (no other: gevent knows this one)
            self._loop.set_task_factory(_make_task)
            self._loop.set_default_executor(Threads(THREADS, "ztaskd-to-thread"))
            self._thread = threading.Thread(
                target=self._serve, args=[self._loop], name="ztaskd-loop", daemon=True
            )
            self._thread.start()
        return self._loop

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        """SystemExit in what a coroutine has started by itself would end the loop, for all the others."""
        asyncio.set_event_loop(loop)
        while not self._stopping:
            try:
                loop.run_forever()
            except BaseException:
                logger.exception("something a coroutine has left on the event loop raised")
                time.sleep(0.01)
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

    def _insist_on(self, kind: type[BaseException]) -> None:
        assert self._insist is not None
        assert self._thread is not None
        self._insist(self._thread, kind)


class Call:
    """One coroutine: what the place sees that waits for it, and what the loop sees."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        coroutine: Coroutine[Any, Any, Any],
        insist: Callable[[type[BaseException]], None] | None,
    ) -> None:
        self.loop = loop
        self.in_part = False  # the place runs a synchronous part, in which errors are raised directly
        self.is_over = False
        self.made: set[asyncio.Task[Any]] = set()  # tasks of asyncio that the coroutine has started
        self.threads: set[Future[Any]] = set()  # and what it has given to threads
        self._coroutine = coroutine
        self._insist = insist
        self._items: SimpleQueue[Any] = SimpleQueue()  # what the place does next
        self._task: asyncio.Task[Any] | None = None
        self._struck: BaseException | None = None
        self._struck_part = False
        self._heard = True  # the loop has heard of the last strike
        self._ended: tuple[Any, BaseException | None] | None = None
        self._place = ThreadSensitiveContext()
        SyncToAsync.context_to_thread_executor[self._place] = Parts(self)
        context = contextvars.copy_context()
        context.run(self._enter)
        loop.call_soon_threadsafe(self._begin, context)

    def _enter(self) -> None:
        _call.set(self)
        SyncToAsync.thread_sensitive_context.set(self._place)

    # -- at the place -------------------------------------------------------------------------------

    def put(self, item: Any) -> None:
        """For the place: a part, or an error to strike with. Signal handlers may call this."""
        self._items.put(item)

    def wait(self) -> Any:
        while not self.is_over or not self._items.empty():
            try:
                item = self._items.get(timeout=None if self._heard or self._insist is None else PATIENCE)
            except Empty:
                if not self._heard and self._insist is not None and self._struck is not None:
                    self._insist(type(self._struck))
                continue
            except BaseException as error:
                item = error
            if isinstance(item, BaseException):
                self._strike(item)
            elif item is not None:
                self._run_part(*item)
        return self._result()

    def _strike(self, error: BaseException, in_part: bool = False) -> None:
        self._struck, self._struck_part, self._heard = error, in_part, False
        self.loop.call_soon_threadsafe(self._cancel)

    def _run_part(self, future: Future[Any], function: Callable[[], Any]) -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            try:
                self.in_part = True
                value = function()
            finally:
                self.in_part = False
        except BaseException as error:
            self.in_part = False  # (a signal may have come in between)
            if isinstance(error, STRIKES):
                self._strike(error, in_part=True)  # (first: the coroutine hears of it in one way only)
            future.set_exception(error)
        else:
            future.set_result(value)
        finally:
            # Where async_to_sync() would look for the loop, in the next task at this place as well.
            for name in ("main_event_loop", "main_event_loop_pid", "task_context"):
                SyncToAsync.threadlocal.__dict__.pop(name, None)

    def _result(self) -> Any:
        assert self._ended is not None
        (value, error), struck = self._ended, self._struck
        if error is None:
            return value
        if struck is None or not (
            isinstance(error, asyncio.CancelledError) or (type(error) is type(struck) and not error.args)
        ):
            raise error
        if self._struck_part:
            raise struck from error
        raise struck.with_traceback(error.__traceback__) from None

    # -- on the loop --------------------------------------------------------------------------------

    def _begin(self, context: contextvars.Context) -> None:
        self._task = self.loop.create_task(self._supervise(), context=context)
        self._task.add_done_callback(self._over)

    async def _supervise(self) -> None:
        try:
            self._ended = await self._coroutine, None
        except BaseException as error:
            self._ended = None, error
        await self._tidy_up()

    async def _tidy_up(self) -> None:
        """What it has left behind is cancelled and waited for, as asyncio.run() does; so are its threads."""
        left = [task for task in self.made if task is not self._task]
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left)
        for task in left:
            if not task.cancelled() and (error := task.exception()) is not None:
                logger.error("what %r has left behind raised", self._coroutine, exc_info=error)
        while self.threads:
            await asyncio.wait([asyncio.wrap_future(future) for future in self.threads])

    def _cancel(self) -> None:
        self._heard = True
        if self._task is not None:
            self._task.cancel()

    def _over(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled():
            task.exception()
        if self._ended is None:  # it was cancelled before its first step
            self._coroutine.close()
            self._ended = None, asyncio.CancelledError()
        self.is_over = True
        self.put(None)


class Parts(Executor):
    """What asgiref takes for the thread of an attempt's sync_to_async(): its place."""

    def __init__(self, call: Call) -> None:
        self._of = call

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        if self._of.is_over:
            raise RuntimeError("the task is over")
        future: Future[Any] = Future()
        self._of.put((future, partial(function, *args, **kwargs)))
        return future


class Threads(ThreadPoolExecutor):
    """What asyncio.to_thread() runs in. Connections are left as slots leave them."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future = super().submit(_then_clean, function, *args, **kwargs)
        call = _call.get()
        if call is not None:
            call.threads.add(future)
            future.add_done_callback(call.threads.discard)
        return future


def _then_clean(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    try:
        return function(*args, **kwargs)
    finally:
        clean_connections()


def _make_task(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
    """A task factory: remembers which attempt a task of asyncio belongs to."""
    task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, **options)
    context = options.get("context")
    call = _call.get() if context is None else context.get(_call)
    if call is not None:
        call.made.add(task)
        task.add_done_callback(call.made.discard)
    return task
