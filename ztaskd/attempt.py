"""An attempt at its place, read top to bottom: execute -> decide -> finish."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import gevent
from msgspec.structs import replace

from django_ztask import crashpoints, execute, lifecycle
from django_ztask.conf import conf
from django_ztask.errors import TaskCancelled, TaskInterrupted
from django_ztask.execute import CurrentTask
from django_ztask.lifecycle import Event, Kind, Outcome, RetryPolicy
from django_ztask.progress import Progress
from django_ztask.rows import Claimed, Finish
from ztaskd import events
from ztaskd.awaiting import Call
from ztaskd.coroutines import Coroutines
from ztaskd.limits import HARD, Limit
from ztaskd.storage import TROUBLE
from ztaskd.surroundings import Surroundings
from ztaskd.workers.pool import Ended, Workers

# A policy's numbers beyond this one (32 years, or as many retries) were never meant: somebody edited the row.
MOST = 1e9

# Of an outcome after which nobody asks for it.
NO_RETRY = RetryPolicy(count=0, after=0.0)


class Attempts:
    """Runs claimed tasks in the greenlet that calls: here, or in one of `workers` (or of those for
    `suspects`), where it waits. `finished` gets
    each one's end. `mark` writes down that an at_most_once task starts, and says whether it may."""

    def __init__(
        self,
        finished: Callable[[Finish], None],
        mark: Callable[[Claimed], bool],
        workers: Workers | None = None,
        suspects: Workers | None = None,
    ) -> None:
        self.finished = finished
        self.mark = mark
        self.workers = workers
        self.suspects = suspects
        self.interrupting = False
        self.cancelling: set[str] = set()  # ids of running tasks that are to end, and were told
        self.last_words: Callable[[Claimed], Progress | None] = lambda task: (
            None
        )  # how far it was when it ended
        self.coroutines = Coroutines(gevent.getcurrent, _throw)
        self._surroundings = Surroundings()
        self._marking: set[str] = set()  # ids of tasks that wait until it is written down that they start
        self._in_children: set[str] = set()  # ids of tasks that have a child, or wait for one

    def leave(self) -> None:
        """The node stops: interruptions are its own from here on, and who stops it may end its children as well."""
        self.interrupting = True
        for workers in (self.workers, self.suspects):
            if workers is not None:
                workers.leaving = True

    def has_begun(self, task: Claimed) -> bool:
        """Of a task at its place: False while it waits for a child, or to be marked."""
        busy = any(w is not None and task.id in w.busy() for w in (self.workers, self.suspects))
        return task.id not in self._marking and (busy or task.id not in self._in_children)

    def run(self, task: Claimed) -> None:
        """In this greenlet."""
        self._run(task, self._here)

    def run_in_child(self, task: Claimed) -> None:
        """In a child process."""
        self._run(task, partial(self._in_child, self.workers))

    def run_suspect(self, task: Claimed) -> None:
        """In a child process that runs suspects."""
        self._run(task, partial(self._in_child, self.suspects))

    def _run(self, task: Claimed, place: Callable[[Claimed], Ended]) -> None:
        try:
            self._attempt(task, place)
        finally:
            self.cancelling.discard(task.id)

    def _attempt(self, task: Claimed, place: Callable[[Claimed], Ended]) -> None:
        if task.at_most_once and not self._may_start(task):
            self.finished(cancelled(task) if task.id in self.cancelling else hand_back(task))
            return
        try:
            events.emit("task_started", task=task)
            crashpoints.reach("attempt-starts")
            outcome, started, seconds = place(task)
        except (TaskInterrupted, TaskCancelled) as error:  # (as a cancel does while it waits for its child)
            kind = Kind.INTERRUPTED if isinstance(error, TaskInterrupted) else Kind.CANCELLED
            outcome, started, seconds = Outcome(kind, exception=execute.describe(error)), None, 0.0
        except Exception as error:  # a fault of ours: the row says so, and the place goes on
            text = f"ztaskd itself failed: {execute.describe(error)}"
            outcome = Outcome(Kind.REFUSED, exception=text, traceback=execute.format_traceback(error))
            started, seconds = None, 0.0
        if outcome.kind is Kind.INTERRUPTED and not self.interrupting:
            outcome = replace(outcome, kind=Kind.FAILURE)  # the task raised it by itself
        if outcome.kind is not Kind.SUCCESS and task.id in self.cancelling:
            outcome = replace(outcome, kind=Kind.CANCELLED)  # whatever it made of it
            crashpoints.reach("attempt-cancelled")
        crashpoints.reach("attempt-ended")
        finish = conclude(task, outcome, started)
        if (said := self.last_words(task)) is not None:
            finish = replace(finish, progress=said)
        self.finished(finish)
        events.emit("task_ended", finish=finish, seconds=seconds)

    def _here(self, task: Claimed) -> Ended:
        started, clock = time.time(), time.perf_counter()
        self._surroundings.begin(task)
        current = CurrentTask(task.id, task.function_name, task.attempt, task.retries_left)
        try:
            run = self.coroutines.run
            outcome = execute.run(current, task.payload, task.mac, _limit(task), run, task.hidden)
            return outcome, started, time.perf_counter() - clock
        finally:
            self._surroundings.end(task)

    def _in_child(self, workers: Workers | None, task: Claimed) -> Ended:
        assert workers is not None
        soft = _seconds(task, "timeout")
        hard = _seconds(task, "hard_timeout")
        if hard is None and soft is not None:
            hard = soft + HARD
        self._in_children.add(task.id)
        try:
            return workers.execute(task, soft, hard)
        finally:
            self._in_children.discard(task.id)

    def _may_start(self, task: Claimed) -> bool:
        self._marking.add(task.id)
        try:
            return self.mark(task)
        except (*TROUBLE, TaskInterrupted, TaskCancelled):
            return False  # not known to be written down
        finally:
            self._marking.discard(task.id)


def conclude(task: Claimed, outcome: Outcome, started: float | None) -> Finish:
    """The end of an attempt: what its outcome means for the row."""
    now = time.time()
    verdict = lifecycle.decide(
        outcome.kind,
        retries_left=_number(task.retries_left),
        policy=_policy(task) if outcome.kind is Kind.FAILURE else NO_RETRY,
        due=task.due,
        now=now,
        replayed=_number(task.replays) > 0,
        at_most_once=task.at_most_once,
        crashes_left=conf.max_crashes - _number(task.crashes),
    )
    if outcome.kind is Kind.CRASH and verdict.event is Event.FAIL and not task.at_most_once:
        outcome = replace(outcome, exception=_quarantined(task, outcome))
    called = outcome.kind not in (Kind.UNKNOWN, Kind.NOT_STARTED, Kind.REFUSED)
    return Finish(task, task.attempt, verdict, outcome, started if called else None, now)


def _quarantined(task: Claimed, outcome: Outcome) -> str:
    times = _number(task.crashes) + 1
    return f"it has taken its process along {times} time{'s' * (times > 1)} (ZTASKD_MAX_CRASHES): {outcome.exception}"


def hand_back(task: Claimed) -> Finish:
    """The end of an attempt that never began."""
    return conclude(task, Outcome(Kind.NOT_STARTED), None)


def cancelled(task: Claimed) -> Finish:
    """The end of an attempt that was cancelled before it began."""
    return conclude(task, Outcome(Kind.CANCELLED, exception="it was cancelled before it started"), None)


def cut_off(task: Claimed, kind: Kind = Kind.INTERRUPTED) -> Finish:
    """The end of an attempt that goes on although it was interrupted."""
    return conclude(task, Outcome(kind, exception="it went on after its interruption"), None)


def _policy(task: Claimed) -> RetryPolicy:
    """The call's own choices, else the settings."""
    return RetryPolicy(
        count=int(_chosen(task, "retry_count", conf.retry_count)),
        after=_chosen(task, "retry_after", conf.retry_after),
        backoff=_chosen(task, "backoff", 1.0),
    )


def _chosen(task: Claimed, name: str, default: float) -> float:
    value = task.policy.get(name, default)
    return float(value) if abs(value) <= MOST else default


def _number(value: Any) -> int:
    """SQLite keeps a text in a column of numbers, when somebody writes one there: it counts as 0."""
    return value if isinstance(value, int) else 0


def _seconds(task: Claimed, name: str) -> float | None:
    """A limit of the call's own, if it is one."""
    seconds = task.policy.get(name)
    return None if seconds is None or not 0 < seconds <= MOST else float(seconds)


def _limit(task: Claimed) -> AbstractContextManager[Any]:
    seconds = _seconds(task, "timeout")
    if seconds is None:
        return nullcontext()
    return Limit(seconds, _seconds(task, "hard_timeout"))


def _throw(greenlet: Any, call: Call) -> None:
    """Into the event loop's greenlet, where a coroutine waits as if it were in a slot (time.sleep)."""

    def throw() -> None:  # in the hub: all greenlets stand still
        if call.keeps_the_loop():
            greenlet.throw(call.hit())

    gevent.get_hub().loop.run_callback(throw)
