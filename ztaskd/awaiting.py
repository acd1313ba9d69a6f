"""One coroutine: between the place that waits for it (a slot, a child's main thread) and the event loop that runs it."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, Future
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

from asgiref.sync import SyncToAsync, ThreadSensitiveContext

from django_ztask.errors import TaskCancelled, TaskInterrupted, TimeLimitExceeded

# What is raised from outside in a task, wherever it is.
STRIKES = (TimeLimitExceeded, TaskInterrupted, TaskCancelled)

# Seconds for which a coroutine that is to end may keep the loop to itself.
PATIENCE = 0.5

logger = logging.getLogger("ztaskd")

current: contextvars.ContextVar[Call | None] = contextvars.ContextVar("ztaskd_call", default=None)


class Call:
    """One coroutine: what the place sees that waits for it, and what the loop sees."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        coroutine: Coroutine[Any, Any, Any],
        insist: Callable[[Call], None],
    ) -> None:
        self.loop = loop
        self.in_part = False  # the place runs a synchronous part, in which errors are raised directly
        self.is_over = False
        self.made: set[asyncio.Task[Any]] = set()  # tasks of asyncio that the coroutine has started
        self.threads: set[Future[Any]] = set()  # and what it has given to threads
        self.coroutine = coroutine
        self._insist = insist
        self._items: SimpleQueue[Any] = SimpleQueue()  # what the place does next
        self.task: asyncio.Task[Any] | None = None
        self.struck: BaseException | None = None  # what was raised at the place, or in a part
        self._struck_part = False
        self._heard = True  # the loop has heard of the last strike
        self._ended: tuple[Any, BaseException | None] | None = None
        self._place = ThreadSensitiveContext()
        SyncToAsync.context_to_thread_executor[self._place] = Parts(self)
        context = contextvars.copy_context()
        context.run(self._enter)
        loop.call_soon_threadsafe(self._begin, context)

    def _enter(self) -> None:
        current.set(self)
        SyncToAsync.thread_sensitive_context.set(self._place)

    # -- at the place -------------------------------------------------------------------------------

    def put(self, item: Any) -> None:
        """For the place: a part, or an error to strike with. Signal handlers may call this."""
        self._items.put(item)

    def wait(self) -> Any:
        while not self.is_over or not self._items.empty():
            try:
                item = self._items.get(timeout=None if self._heard else PATIENCE)
            except Empty:
                self._insist(self)
                continue
            except BaseException as error:
                item = error
            if isinstance(item, BaseException):
                self._strike(item)
            elif item is not None:
                try:
                    self._run_part(*item)
                except STRIKES as error:  # it came just before or after the part
                    self.in_part = False
                    self._strike(error)
        return self._result()

    def _strike(self, error: BaseException, part: Future[Any] | None = None) -> None:
        """Cancels the coroutine; `part` is what the error has ended already. (The coroutine hears of it in one way.)"""
        self.struck, self._struck_part, self._heard = error, part is not None, False
        self.loop.call_soon_threadsafe(self._cancel)
        if part is not None:
            self.loop.call_soon_threadsafe(part.set_exception, error)

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
                self._strike(error, future)
            else:
                future.set_exception(error)
        else:
            future.set_result(value)
        finally:
            # Where async_to_sync() would look for the loop, in the next task at this place as well.
            for name in ("main_event_loop", "main_event_loop_pid", "task_context"):
                SyncToAsync.threadlocal.__dict__.pop(name, None)

    def _result(self) -> Any:
        assert self._ended is not None
        (value, error), struck = self._ended, self.struck
        if error is None:
            return value
        forced = error is struck or (type(error) is type(struck) and not error.args)
        if struck is None or not (forced or isinstance(error, asyncio.CancelledError)):
            raise error
        if self._struck_part:
            raise struck from error
        raise struck.with_traceback(error.__traceback__) from None

    def keeps_the_loop(self) -> bool:
        """True when it was struck and the loop has not heard of it, since a step of this very coroutine goes on."""
        return not self._heard and asyncio.current_task(self.loop) in self.made

    # -- on the loop --------------------------------------------------------------------------------

    def _begin(self, context: contextvars.Context) -> None:
        self.task = self.loop.create_task(self._supervise(), context=context)
        self.task.add_done_callback(self._over)

    async def _supervise(self) -> None:
        try:
            self._ended = await self.coroutine, None
        except BaseException as error:
            frames = error.__traceback__
            self._ended = None, error.with_traceback(frames and frames.tb_next)  # (this frame tells nothing)
        await self._tidy_up()

    async def _tidy_up(self) -> None:
        """What it has left behind is cancelled and waited for, as asyncio.run() does; so are its threads."""
        left = [task for task in self.made if task is not self.task]
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left)
        for task in left:
            if not task.cancelled() and (error := task.exception()) is not None:
                logger.error("what %r has left behind raised", self.coroutine, exc_info=error)
        while threads := list(self.threads):  # (in a child, they end beside this)
            await asyncio.wait([asyncio.wrap_future(future) for future in threads])

    def _cancel(self) -> None:
        if not self._heard and self.task is not None:
            self.task.cancel()
        self._heard = True

    def missed(self) -> None:
        """What was raised in it came out elsewhere."""
        self._heard = False
        self._cancel()

    def hit(self) -> BaseException:
        """What is raised in it now, which so need not be cancelled."""
        assert self.struck is not None
        self._heard = True
        return self.struck

    def _over(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled():
            task.exception()
        if self._ended is None:  # it was cancelled before its first step
            self.coroutine.close()
            self._ended = None, asyncio.CancelledError()
        # (It would keep itself: a dictionary with weak keys holds on to its values, and this one to its key.)
        SyncToAsync.context_to_thread_executor.pop(self._place, None)
        self._place._exited = True  # asgiref refuses what comes now
        self.is_over = True
        self.put(None)


def is_main() -> bool:
    """True in the coroutine of a task itself, and in what it awaits: not in what it has started beside."""
    call = current.get()
    return call is not None and call.task is not None and asyncio.current_task(call.loop) is call.task


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


def make_task(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
    """A task factory: remembers which attempt a task of asyncio belongs to."""
    task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, **options)
    context = options.get("context")
    call = current.get() if context is None else context.get(current)
    if call is not None:
        call.made.add(task)
        task.add_done_callback(call.made.discard)
    return task
