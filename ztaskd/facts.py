"""What an event is about, as fields of a line in JSON: which task, which attempt, how it ended, how long it took."""

from __future__ import annotations

from typing import Any

from django_ztask.execute import current_task
from django_ztask.lifecycle import TRANSITIONS, Status
from django_ztask.rows import Claimed, Finish
from ztaskd import jsonlines
from ztaskd.events import Subscriber

# Events that say no more than their text does.
ONLY_TEXT = ("note", "error", "warning")

Facts = dict[str, Any]

# What becomes of a running task by each event.
_RUNNING = TRANSITIONS[Status.RUNNING]


def told(write: Subscriber) -> Subscriber:
    """The subscriber, with the event at hand for the lines that it writes. (Most write one, many none: the facts are
    looked for when a line is made.)"""
    about = jsonlines.about

    def write_with_facts(event: str, fields: Facts) -> None:
        before = about.set((event, fields))
        try:
            write(event, fields)
        finally:
            about.reset(before)

    return write_with_facts


def of_event(event: str, fields: Facts) -> Facts:
    if event == "task_ended":
        return _of_end(fields["finish"], fields["seconds"])
    known: Facts = {} if event in ONLY_TEXT else {"event": event}
    if (task := fields.get("task")) is not None:
        return known | of_task(task)
    if (task_id := fields.get("id") or fields.get("task_id")) is not None:
        known["task_id"] = task_id
        if "function" in fields:
            known["function"] = fields["function"]
    return known


def of_task(task: Claimed | None) -> Facts:
    if task is None:
        return {}
    return {"task_id": task.id, "function": task.function_name, "attempt": task.attempt}


def of_current() -> Facts:
    """The task that is running here, if one is."""
    task = current_task()
    if task is None:
        return {}
    return {"task_id": task.id, "function": task.function_name, "attempt": task.attempt}


def _of_end(finish: Finish, seconds: float) -> Facts:
    """(Of each task: as quick as can be.)"""
    task, outcome = finish.task, finish.outcome
    facts = {
        "event": "task_ended",
        "task_id": task.id,
        "function": task.function_name,
        "attempt": task.attempt,
        "duration_ms": round(seconds * 1000, 3),
        "outcome": outcome.kind,
        "status": _RUNNING[finish.verdict.event],
    }
    if outcome.exception:
        facts["error"] = outcome.exception
    if outcome.traceback:
        facts["exception"] = outcome.traceback.rstrip()
    return facts
