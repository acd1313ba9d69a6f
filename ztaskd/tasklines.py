"""What the log says of tasks: how they start and end, and what they leave behind."""

from __future__ import annotations

import logging
import re

from django_ztask import masking
from django_ztask.lifecycle import Event, Kind
from django_ztask.rows import Claimed, Finish
from ztaskd.gathering import Gathering
from ztaskd.quiet import Kinds, more

# Kinds of attempts that began and did not succeed.
STARTED = (Kind.FAILURE, Kind.INTERRUPTED, Kind.CRASH)

logger = logging.getLogger("ztaskd")


def name(task: Claimed) -> str:
    return f"task {task.id} {task.function_name}"


def started(task: Claimed) -> None:
    if logger.isEnabledFor(logging.DEBUG):
        payload = task.payload
        args, kwargs = masking.masked(payload.codec, payload.args, payload.kwargs, task.hidden)
        given = f"{args} {kwargs}" if payload.codec == "json" else f"a {payload.codec}"
        logger.debug("%s starts (attempt %d) with %s", name(task), task.attempt, given)


def ended(finish: Finish, seconds: float) -> None:
    task, outcome, verdict = finish.task, finish.outcome, finish.verdict
    if outcome.kind is Kind.SUCCESS:
        _succeeded(task, seconds, finish.finished)
    elif outcome.kind is Kind.CANCELLED:
        _cancelled(finish, seconds)
    elif verdict.event is Event.FAIL and task.at_most_once and outcome.kind in STARTED:
        detail = f"\n{outcome.traceback.rstrip()}" if outcome.traceback else ""
        logger.error(
            "%s %s after %.3f s: %s; it is at_most_once, and stays FAILED%s",
            name(task),
            "was interrupted" if outcome.kind is Kind.INTERRUPTED else "failed",
            seconds,
            outcome.exception,
            detail,
        )
    elif outcome.kind is Kind.INTERRUPTED:
        logger.warning(
            "%s was interrupted after %.3f s (attempt %d): handed back at no cost: who serves next runs it again",
            name(task),
            seconds,
            task.attempt,
        )
    elif outcome.kind is Kind.CRASH and verdict.event is Event.HAND_BACK:
        logger.error("%s (attempt %d): %s; it runs again", name(task), task.attempt, outcome.exception)
    elif outcome.kind is Kind.NOT_STARTED:
        logger.debug("%s has not started: handed back", name(task))
    elif verdict.event is Event.HAND_BACK:
        logger.debug("%s is unknown here: handed back", name(task))
    else:
        _failed(finish, seconds)


def _succeeded(task: Claimed, seconds: float, finished: float) -> None:
    """By far the most frequent line: straight to our handler, when nobody has put anything in between."""
    if not logger.isEnabledFor(logging.INFO):
        return
    text = f"task {task.id} {task.function_name} succeeded in {seconds:.3f} s (attempt {task.attempt})"
    [handler, *others] = logger.handlers
    if isinstance(handler, Gathering) and not (others or logger.filters or handler.filters):
        handler.later(finished, text)
    else:
        logger.info("%s", text)


def _cancelled(finish: Finish, seconds: float) -> None:
    if finish.started is None:
        logger.info("%s was cancelled before it started", name(finish.task))
    else:
        logger.info(
            "%s was cancelled after %.3f s (attempt %d)", name(finish.task), seconds, finish.task.attempt
        )


def _failed(finish: Finish, seconds: float) -> None:
    task, outcome, verdict = finish.task, finish.outcome, finish.verdict
    what = f"{name(task)} failed in {seconds:.3f} s (attempt {task.attempt}): {outcome.exception}"
    if verdict.event is Event.RETRY:
        pause = max(0.0, verdict.due - finish.finished)
        logger.warning(
            "%s%s; will be retried in %g s (%d left)",
            what,
            _place(outcome.traceback),
            round(pause, 3),
            verdict.retries_left + 1,
        )
        return
    if outcome.kind is Kind.CRASH:
        logger.error("%s; FAILED. Mend it, then run it again with `ztaskd --replayfailed`", what)
        return
    why, others = "no retries left", ""
    if outcome.kind is not Kind.FAILURE:
        why = "it is not to be run"
        # Whoever forges rows forges many: each has its reason in the journal, the log has one of a kind.
        reason = (outcome.exception or "").replace(f"{task.id} ({task.function_name})", "")
        if (left_out := _refusals.left_out(reason)) is None:
            return
        others = more(left_out)
    detail = f"\n{outcome.traceback.rstrip()}" if outcome.traceback else ""
    logger.error("%s; %s: FAILED. Run it again with `ztaskd --replayfailed`%s%s", what, why, others, detail)


def surroundings_changed(task: Claimed, beside: bool, changes: list[str]) -> None:
    who = f"{name(task)}{' (or one that ran beside it)' if beside else ''}"
    what = " and ".join(changes)
    left_out = _changes.left_out(f"{task.function_name} {what}")
    if left_out is not None:
        logger.warning("%s %s: put back%s", who, what, more(left_out))


_refusals, _changes = Kinds(), Kinds()


def unknown(task: Claimed, reason: str | None) -> None:
    logger.warning(
        "%s is unknown here: %s. Its tasks wait for a node that knows it (it is looked for again every minute), "
        "and are FAILED an hour after their due time",
        name(task),
        reason,
    )


def _place(traceback: str | None) -> str:
    """Where it was raised: ` at shop/tasks.py:12`."""
    frames = re.findall(r'^  File "(.+)", line (\d+)', traceback or "", re.MULTILINE)
    frames = [
        frame for frame in frames if not frame[0].endswith("/ztaskd/limits.py")
    ]  # (who raised it there)
    return f" at {frames[-1][0]}:{frames[-1][1]}" if frames else ""


def fenced(task: Claimed) -> None:
    logger.warning("%s was taken from this node or deleted while it ran: its outcome is dropped", name(task))
