"""An attempt at its place, read top to bottom: execute -> decide -> finish."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

from gevent import Timeout

from django_ztask import crashpoints, execute, lifecycle
from django_ztask.conf import conf
from django_ztask.errors import TaskInterrupted, TimeLimitExceeded
from django_ztask.execute import CurrentTask
from django_ztask.lifecycle import Kind, Outcome, RetryPolicy
from django_ztask.rows import Claimed, Finish
from ztaskd import events
from ztaskd.storage import TROUBLE


class Attempts:
    """Runs claimed tasks in the greenlet that calls `run`. `finished` gets each one's end. `mark` writes
    down that an at_most_once task starts, and says whether it may."""

    def __init__(self, finished: Callable[[Finish], None], mark: Callable[[Claimed], bool]) -> None:
        self.finished = finished
        self.mark = mark
        self.interrupting = False

    def run(self, task: Claimed) -> None:
        if task.at_most_once and not self._may_start(task):
            self.finished(hand_back(task))
            return
        started = time.time()
        clock = time.perf_counter()
        events.emit("task_started", task=task)
        current = CurrentTask(task.id, task.function_name, task.attempt, task.retries_left)
        crashpoints.reach("attempt-starts")
        try:
            outcome = execute.run(current, task.payload, task.mac, _limit(task))
        except Exception as error:  # a fault of ours: the row says so, and the slot goes on
            text = f"ztaskd itself failed: {execute.describe(error)}"
            outcome = Outcome(Kind.REFUSED, exception=text, traceback=execute.format_traceback(error))
        if outcome.kind is Kind.INTERRUPTED and not self.interrupting:
            outcome = replace(outcome, kind=Kind.FAILURE)  # the task raised it by itself
        crashpoints.reach("attempt-ended")
        seconds = time.perf_counter() - clock
        finish = conclude(task, outcome, started)
        self.finished(finish)
        events.emit("task_ended", finish=finish, seconds=seconds)

    def _may_start(self, task: Claimed) -> bool:
        try:
            return self.mark(task)
        except (*TROUBLE, TaskInterrupted):
            return False  # not known to be written down


def conclude(task: Claimed, outcome: Outcome, started: float | None) -> Finish:
    """The end of an attempt: what its outcome means for the row."""
    now = time.time()
    verdict = lifecycle.decide(
        outcome.kind,
        retries_left=task.retries_left,
        policy=_policy(task),
        due=task.due,
        now=now,
        replayed=task.replays > 0,
        at_most_once=task.at_most_once,
    )
    return Finish(task, task.attempt, verdict, outcome, started, now)


def hand_back(task: Claimed) -> Finish:
    """The end of an attempt that never began."""
    return conclude(task, Outcome(Kind.NOT_STARTED), None)


def cut_off(task: Claimed) -> Finish:
    """The end of an attempt that goes on although it was interrupted."""
    return conclude(task, Outcome(Kind.INTERRUPTED, exception="it went on after its interruption"), None)


def _policy(task: Claimed) -> RetryPolicy:
    """The call's own choices, else the settings."""
    chosen = task.policy
    return RetryPolicy(
        count=int(chosen.get("retry_count", conf.retry_count)),
        after=chosen.get("retry_after", conf.retry_after),
        backoff=chosen.get("backoff", 1.0),
    )


def _limit(task: Claimed) -> AbstractContextManager[Any]:
    seconds = task.policy.get("timeout")
    if seconds is None:
        return nullcontext()
    return Timeout(seconds, TimeLimitExceeded(f"the task ran longer than its timeout of {seconds:g} s"))
