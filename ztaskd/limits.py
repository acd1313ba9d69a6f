"""The time limits of tasks in slots. A task that waits is stopped by gevent's timer; one that never yields by a
signal to the hub's thread, which the watchdog sends: its handler raises in the culprit or not at all.
"""

from __future__ import annotations

import signal
import time
from types import FrameType, TracebackType
from typing import Any

import gevent
from gevent import Timeout

from django_ztask import execute
from django_ztask.errors import TimeLimitExceeded
from ztaskd import awaiting

# Nobody else uses it, and surroundings.py does not watch it.
SIGNAL = int(signal.SIGRTMIN) + 7 if hasattr(signal, "SIGRTMIN") else int(signal.SIGUSR2)

# Seconds that a task has for its own cleaning up after its soft limit, unless `hard_timeout` says otherwise.
HARD = 10.0

# In code of these packages nothing is raised: ours around the task, and gevent's, which is about to yield (then the
# timer does it). The watchdog asks again.
NOT_HERE = ("ztaskd", "django_ztask", "gevent")


# On the event loop, where a coroutine of the task runs, nor in these: theirs is the loop of all.
LOOP = ("asyncio", "asgiref", "concurrent", "contextvars", "selectors", "weakref")


class Limit:
    """Around the call of one attempt. Raises TimeLimitExceeded in it after `seconds`; when it goes on and blocks the
    daemon, again after `hard` seconds and then every HARD seconds."""

    def __init__(self, seconds: float, hard: float | None) -> None:
        self.seconds = seconds
        self.hard = seconds + HARD if hard is None else hard
        self.heard = True  # the last signal
        self._raised = False

    def __enter__(self) -> Limit:
        self.greenlet, self._task = gevent.getcurrent(), execute.current_task()
        self._began = time.monotonic()
        self._due = self._began + self.seconds
        self._timer = Timeout(self.seconds, self._error())
        self._timer.start()
        _running[self.greenlet] = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _running.pop(self.greenlet, None)
        self._timer.close()

    @property
    def task_id(self) -> str | None:
        return None if self._task is None else self._task.id

    def is_due(self, now: float) -> bool:
        """Whether the task has had its time. (`now`: time.monotonic(); for the watchdog's thread.)"""
        if not self._raised and not self._timer.pending:
            self._was_raised(now)  # by gevent's timer
        return now >= self._due

    def interrupt(self, thread: int) -> None:
        """Asks the hub's thread to raise in the task, if that is what it executes."""
        global _asked
        self.heard = False
        _asked = self
        signal.pthread_kill(thread, SIGNAL)

    def _answer(self, frame: FrameType | None) -> None:
        self.heard = True
        package = "" if frame is None else str(frame.f_globals.get("__name__")).partition(".")[0]
        here = gevent.getcurrent() is self.greenlet
        coroutine = self._task is not None and execute.current_task() is self._task and package not in LOOP
        if package in NOT_HERE or not (here or coroutine):
            return
        if _running.get(self.greenlet) is self and self.is_due(time.monotonic()):
            if (
                here or awaiting.is_main()
            ):  # (nobody may hear of what is raised elsewhere: the timer comes then)
                self._timer.close()  # or it would raise a second time
            self._was_raised(time.monotonic())
            raise self._error()

    def _was_raised(self, now: float) -> None:
        self._due = now + HARD if self._raised else max(self._began + self.hard, now)
        self._raised = True

    def _error(self) -> TimeLimitExceeded:
        return TimeLimitExceeded(f"the task ran longer than its timeout of {self.seconds:g} s")


_running: dict[Any, Limit] = {}

_asked: Limit | None = None


def of(task_id: str) -> Limit | None:
    """The limit of the attempt that runs of that task. (For the watchdog's thread.)"""
    for limit in list(_running.values()):
        if limit.task_id == task_id:
            return limit
    return None


def listen() -> None:
    """Before the first task, on the main thread."""
    signal.signal(SIGNAL, _handle)


def _handle(number: int, frame: FrameType | None) -> None:
    global _asked
    limit, _asked = _asked, None
    if limit is not None:
        limit._answer(frame)
