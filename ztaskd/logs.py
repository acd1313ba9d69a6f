"""The log: what each event's line says. The only place that words log lines."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any

from django_ztask.lifecycle import Event, Kind
from django_ztask.rows import Claimed, Finish
from ztaskd import events
from ztaskd.gathering import Gathering
from ztaskd.quiet import Kinds, Quiet, more

# Seconds between two lines about a journal that is still not to be written.
DEGRADED = 10.0

MIB = 2**20

logger = logging.getLogger("ztaskd")


def configure(handler: logging.Handler, level: int) -> None:
    """After django.setup(): our lines go to `handler`, and those of the project's loggers too, unless its
    LOGGING has given the root logger handlers of its own."""
    logger.handlers = [handler]
    logger.setLevel(level or 1)
    logger.propagate = False
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(handler)
        root.setLevel(level or 1)
    events.subscribe(write)


def write(event: str, fields: dict[str, Any]) -> None:
    """The subscriber."""
    line = _LINES.get(event)
    if line is not None:
        try:
            line(**fields)
        except Exception:  # a line costs nobody his work
            logger.exception("the line about %s could not be written", event)


def _name(task: Claimed) -> str:
    return f"task {task.id} {task.function_name}"


def _started(task: Claimed) -> None:
    if logger.isEnabledFor(logging.DEBUG):
        payload = task.payload
        given = f"{payload.args} {payload.kwargs}" if payload.codec == "json" else f"a {payload.codec}"
        logger.debug("%s starts (attempt %d) with %s", _name(task), task.attempt, given)


def _ended(finish: Finish, seconds: float) -> None:
    task, outcome, verdict = finish.task, finish.outcome, finish.verdict
    if outcome.kind is Kind.SUCCESS:
        _succeeded(task, seconds, finish.finished)
    elif (
        verdict.event is Event.FAIL and task.at_most_once and outcome.kind in (Kind.FAILURE, Kind.INTERRUPTED)
    ):
        detail = f"\n{outcome.traceback.rstrip()}" if outcome.traceback else ""
        logger.error(
            "%s %s after %.3f s: %s; it is at_most_once, and stays FAILED%s",
            _name(task),
            "was interrupted" if outcome.kind is Kind.INTERRUPTED else "failed",
            seconds,
            outcome.exception,
            detail,
        )
    elif outcome.kind is Kind.INTERRUPTED:
        logger.warning(
            "%s was interrupted after %.3f s (attempt %d): handed back at no cost, it runs again at the next start",
            _name(task),
            seconds,
            task.attempt,
        )
    elif outcome.kind is Kind.CRASH and verdict.event is Event.HAND_BACK:
        logger.error("%s (attempt %d): %s; it runs again", _name(task), task.attempt, outcome.exception)
    elif verdict.event is Event.HAND_BACK:
        logger.debug("%s is unknown here: handed back", _name(task))
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


def _failed(finish: Finish, seconds: float) -> None:
    task, outcome, verdict = finish.task, finish.outcome, finish.verdict
    what = f"{_name(task)} failed in {seconds:.3f} s (attempt {task.attempt}): {outcome.exception}"
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


def _surroundings_changed(task: Claimed, beside: bool, changes: list[str]) -> None:
    who = f"{_name(task)}{' (or one that ran beside it)' if beside else ''}"
    what = " and ".join(changes)
    left_out = _changes.left_out(f"{task.function_name} {what}")
    if left_out is not None:
        logger.warning("%s %s: put back%s", who, what, more(left_out))


_refusals, _changes = Kinds(), Kinds()


def _unknown(task: Claimed, reason: str | None) -> None:
    logger.warning(
        "%s is unknown here: %s. Its tasks wait for a node that knows it (it is looked for again every minute), "
        "and are FAILED an hour after their due time",
        _name(task),
        reason,
    )


def _place(traceback: str | None) -> str:
    """Where it was raised: ` at shop/tasks.py:12`."""
    frames = re.findall(r'^  File "(.+)", line (\d+)', traceback or "", re.MULTILINE)
    return f" at {frames[-1][0]}:{frames[-1][1]}" if frames else ""


def _service_died(name: str, error: BaseException, mended: bool) -> None:
    what = "starting it again" if mended else "the node stops; what it runs is recovered at its next start"
    logger.error("service %s died: %r; %s", name, error, what, exc_info=error)


def _fenced(task: Claimed) -> None:
    logger.warning("%s was taken from this node or deleted while it ran: its outcome is dropped", _name(task))


def _disk_low(free: int, wanted: int, folder: object) -> None:
    logger.error(
        "paused: %.0f MiB are free on the journal's disk (%s), less than ZTASKD_HEADROOM (%.0f MiB): no more tasks "
        "are started until there is room; what runs is finished and written",
        free / MIB,
        folder,
        wanted / MIB,
    )


def _disk_fine(free: int, folder: object) -> None:
    logger.info("going on: %.0f MiB are free on the journal's disk (%s)", free / MIB, folder)


_unavailable = Quiet(
    logger,
    logging.ERROR,
    "degraded: the journal cannot be written ({error}); nothing is lost, trying again",
    DEGRADED,
)


def _back() -> None:
    _unavailable.reset()
    logger.info("the journal works again")


def _line(level: int, text: str) -> Callable[..., None]:
    return lambda **fields: logger.log(level, text.format(**fields))


_LINES: dict[str, Callable[..., None]] = {
    "task_started": _started,
    "task_ended": _ended,
    "task_fenced": _fenced,
    "function_unknown": _unknown,
    "surroundings_changed": _surroundings_changed,
    "surroundings_unclear": lambda task, error: logger.warning(
        "%s or one beside it left something behind that cannot be put back: %r", _name(task), error
    ),
    "connection_discarded": _line(
        logging.WARNING, "a slot's connection to the database {alias!r} was discarded: {error}"
    ),
    "task_failed_interrupted": _line(
        logging.ERROR,
        "task {id} {function} FAILED: it is at_most_once, and nobody knows how far it got: its node died, or its end was undone",
    ),
    "taken_for_dead": _line(
        logging.WARNING,
        "this node was taken for dead (was the process stopped?): what it ran may run twice",
    ),
    "task_failed_odd": Quiet(
        logger,
        logging.ERROR,
        "task {id} {function} FAILED: somebody has edited its row, and it would never be due",
    ),
    "task_failed_unknown": _line(
        logging.ERROR, "task {id} {function} FAILED: no node knows this task function"
    ),
    "task_swallowed_interrupt": lambda task: logger.error(
        "%s goes on although it was interrupted: %s",
        _name(task),
        "it is at_most_once, and stays FAILED"
        if task.at_most_once
        else "handed back, it runs again at the next start",
    ),
    "service_died": _service_died,
    "worker_died": _line(logging.ERROR, "{name} (pid {pid}) is gone: {reason}; another one is started"),
    "worker_refused": Quiet(
        logger, logging.ERROR, "{name} does not come up, tasks for child processes wait: {reason}"
    ),
    "worker_recycled": _line(
        logging.INFO, "{name} (pid {pid}) is replaced after {tasks} task(s), at {mib} MiB"
    ),
    "message_refused": Quiet(logger, logging.WARNING, "refused a message: {error}"),
    "row_unreadable": _line(logging.ERROR, "task {id} FAILED: its row cannot be read: {error}"),
    "row_refused": Quiet(logger, logging.ERROR, "the journal refused a row (task {task_id}): {error}"),
    "journal_unavailable": _unavailable,
    "journal_back": _back,
    "disk_low": _disk_low,
    "disk_fine": _disk_fine,
    "rows_kept": Quiet(logger, logging.WARNING, "old rows could not be deleted: {error}", 600.0),
    "rows_pruned": _line(
        logging.INFO, "{count} task(s) that succeeded longer than ZTASKD_KEEP ago were deleted"
    ),
    "node_ready": _line(
        logging.INFO,
        "ztaskd {version} ready in {seconds:.2f} s: node {name}, pid {pid}, {url}, {concurrency} slots, "
        "journal {journal}",
    ),
    "note": _line(logging.INFO, "{text}"),
    "warning": _line(logging.WARNING, "{text}"),
}
