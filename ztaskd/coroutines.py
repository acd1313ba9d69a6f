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
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from ztaskd.awaiting import STRIKES, Call, current, make_task
from ztaskd.cleaning import clean_connections

# How many asyncio.to_thread() run at a time; more of them wait.
THREADS = 32

logger = logging.getLogger("ztaskd")


class Coroutines:
    """`insist(thread, call)` raises what a call was struck with in a coroutine that keeps the loop to itself: `thread`
    is what `current` returned in the loop's."""

    def __init__(self, current: Callable[[], Any], insist: Callable[[Any, Call], None]) -> None:
        self._current = current
        self._insist = insist
        self._serving: Any = None
        self._hit: Call | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stopping = False

    def run(self, start: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """What the coroutine that `start` makes returns or raises. Whatever is raised in the caller meanwhile cancels
        it: CancelledError at its `await`; its clean-ups are waited for, and then the caller gets what was raised."""
        return self.call(start).wait()

    def call(self, start: Callable[[], Coroutine[Any, Any, Any]]) -> Call:
        """A coroutine that has been handed to the loop; to be waited for."""
        return Call(self._ready(), start(), self._insist_on)

    def stop(self, timeout: float) -> None:
        """Ends the loop and its thread, if there is one."""
        if self._loop is not None and self._thread is not None:
            self._stopping = True
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(timeout)

    def _ready(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.SelectorEventLoop()  # (no other: gevent knows this one)
            self._loop.set_task_factory(make_task)
            self._loop.set_default_executor(Threads(THREADS, "ztaskd-to-thread"))
            self._thread = threading.Thread(
                target=self._serve, args=[self._loop], name="ztaskd-loop", daemon=True
            )
            self._thread.start()
        return self._loop

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        """SystemExit in what a coroutine has started by itself would end the loop, for all the others."""
        self._serving = self._current()
        asyncio.set_event_loop(loop)
        while not self._stopping:
            try:
                loop.run_forever()
            except STRIKES:
                if self._hit is not None:  # it had just yielded
                    self._hit.missed()
            except BaseException:
                logger.exception("something a coroutine has left on the event loop raised")
                time.sleep(0.01)
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

    def _insist_on(self, call: Call) -> None:
        self._hit = call
        self._insist(self._serving, call)


class Threads(ThreadPoolExecutor):
    """What asyncio.to_thread() runs in. Connections are left as slots leave them."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future = super().submit(_then_clean, contextvars.copy_context(), function, *args, **kwargs)
        call = current.get()
        if call is not None:
            call.threads.add(future)
            future.add_done_callback(call.threads.discard)
        return future


def _then_clean(context: contextvars.Context, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """`context`: of who gave it here, for whoever reads the stack."""
    try:
        return function(*args, **kwargs)
    finally:
        clean_connections()
