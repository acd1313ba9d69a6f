"""The log: what each event's line says. The only place, with tasklines.py, that words log lines."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from ztaskd import events, facts, tasklines
from ztaskd.jsonlines import JsonLines
from ztaskd.quiet import Quiet
from ztaskd.reopening import Reopening

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
    logger.disabled = False  # (LOGGING switches off what it does not name, unless it says otherwise)
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(handler)
        root.setLevel(level or 1)
    events.subscribe(facts.told(write) if isinstance(handler.formatter, JsonLines) else write)


def reopen() -> None:
    """USR2. What keeps the file from being opened anew is said on the old one."""
    files = [handler for handler in logger.handlers if isinstance(handler, Reopening)]
    if not files:
        events.emit(
            "note",
            text="USR2: there is no log file to be opened anew (without -f the log is standard output)",
        )
    elif all(handler.reopen() for handler in files):
        events.emit("note", text="USR2: the log file was opened anew")


def write(event: str, fields: dict[str, Any]) -> None:
    """The subscriber."""
    line = _LINES.get(event)
    if line is not None:
        try:
            line(**fields)
        except Exception:  # a line costs nobody his work
            logger.exception("the line about %s could not be written", event)


def _service_died(name: str, error: BaseException, mended: bool) -> None:
    what = "starting it again" if mended else "the node stops; what it runs is recovered at its next start"
    logger.error("service %s died: %r; %s", name, error, what, exc_info=error)


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
    "task_started": tasklines.started,
    "task_ended": tasklines.ended,
    "task_fenced": tasklines.fenced,
    "function_unknown": tasklines.unknown,
    "surroundings_changed": tasklines.surroundings_changed,
    "surroundings_unclear": lambda task, error: logger.warning(
        "%s or one beside it left something behind that cannot be put back: %r", tasklines.name(task), error
    ),
    "connection_discarded": _line(
        logging.WARNING, "a slot's connection to the database {alias!r} was discarded: {error}"
    ),
    "task_failed_interrupted": _line(
        logging.ERROR,
        "task {id} {function} FAILED: it is at_most_once, and nobody knows how far it got: its node died, or its end was undone",
    ),
    "task_cancelled": _line(
        logging.INFO, "task {id} {function} was cancelled: nobody runs it any more, and it does not run again"
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
    "task_swallowed_interrupt": lambda task, cancelled=False: logger.error(
        "%s goes on although it was interrupted: %s",
        tasklines.name(task),
        "it was cancelled, and does not run again"
        if cancelled
        else "it is at_most_once, and stays FAILED"
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
        logging.INFO,
        "{count} task(s) that succeeded, or were cancelled, longer than ZTASKD_KEEP ago were deleted",
    ),
    "node_ready": _line(
        logging.INFO,
        "ztaskd {version} ready in {seconds:.2f} s: node {name}, pid {pid}, {url}, {concurrency} slots, "
        "journal {journal}",
    ),
    "note": _line(logging.INFO, "{text}"),
    "error": _line(logging.ERROR, "{text}"),
    "warning": _line(logging.WARNING, "{text}"),
}
