"""enqueue(): the one place that decides: disabled, eager, or recorded (and then announced)."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from django.db import connections

from django_ztask import (
    announcement,
    crashpoints,
    execute,
    ids,
    journal,
    masking,
    patience,
    progress,
    serialize,
    together,
    transport,
    unconfirmed,
)
from django_ztask.announcement import Announcement
from django_ztask.conf import conf, key
from django_ztask.draft import Draft
from django_ztask.errors import ArgumentError, TaskCancelled
from django_ztask.handle import DisabledHandle, EagerHandle, TaskHandle
from django_ztask.lifecycle import Status
from django_ztask.rows import NewTask
from django_ztask.serialize import Payload

if TYPE_CHECKING:
    from django_ztask.decorators import TaskFunction

Call = tuple[tuple[Any, ...], dict[str, Any]]

logger = logging.getLogger("ztaskd")


def enqueue(function: TaskFunction[..., Any], calls: list[Call], after: float = 0.0) -> list[TaskHandle[Any]]:
    """One handle for each call, in order. `after`: seconds until they are due."""
    if conf.disabled:
        return [_disable(function) for _ in calls]
    if conf.always_eager:
        return [_run_here(function, *call) for call in calls]
    return _record(function, calls, after)


def _disable(function: TaskFunction[..., Any]) -> TaskHandle[Any]:
    task_id = ids.new()[0][0]
    logger.info("task %s %s not executed: ZTASKD_DISABLED is set", task_id, function.name)
    return DisabledHandle(task_id)


def _run_here(function: TaskFunction[..., Any], args: Any, kwargs: dict[str, Any]) -> TaskHandle[Any]:
    """Through the serializer and back, so that what would fail on the way to a node fails here as well."""
    [payload] = _payloads(function, [(args, kwargs)], conf.pickle)
    args, kwargs = serialize.load_call(payload.codec, payload.args, payload.kwargs)
    task = execute.CurrentTask(ids.new()[0][0], function.name, attempt=1, retries_left=0)
    run = execute.callable_of(function, execute.wait_here)
    with progress.keeping(task.id) as kept:
        try:
            value, status = execute.call(task, run, args, kwargs, nullcontext()), Status.SUCCEEDED
        except TaskCancelled:  # (it has cancelled itself: the caller goes on)
            value, status = None, Status.CANCELLED
    return EagerHandle(task.id, value, status, kept.last)


def _record(function: TaskFunction[..., Any], calls: list[Call], after: float) -> list[TaskHandle[Any]]:
    function.ensure_importable()
    drafts = _drafts(function, calls, after)
    connection = connections[conf.database]
    confirm = function.options.confirm
    confirm = conf.confirm if confirm is None else confirm
    if confirm or not _can_wait(connection) or not unconfirmed.take(conf.database, drafts):
        signing = key("row")
        transport.connect()
        crashpoints.reach("caller-before-insert")
        _write(connection, [draft.signed(signing) for draft in drafts], after)
    return [TaskHandle(draft.id) for draft in drafts]


def _can_wait(connection: Any) -> bool:
    """False in a transaction, whose fate the rows share; under the eyes of somebody who counts or forbids
    statements; and in a node, which a second thread with a second connection would only slow down."""
    if transport.in_node() or connection.in_atomic_block or connection.execute_wrappers:
        return False
    if connection.force_debug_cursor or patience.is_replaced(connection):
        return False
    if connection.connection is None:
        return bool(connection.settings_dict["AUTOCOMMIT"])
    return bool(connection.autocommit) and not patience.is_open(connection)


def _write(connection: Any, rows: list[NewTask], after: float) -> None:
    """In the caller's transaction, to be announced when it commits; else committed and announced now."""
    if connection.in_atomic_block:
        journal.record(connection, rows)
        crashpoints.reach("caller-before-commit")
        if rows:
            announcement.pending(connection).add(rows, after)
        return
    if not patience.is_free(connection):
        # In a manual transaction (autocommit off) on_commit would raise after the INSERT: the sweep finds it.
        journal.record(connection, rows)
    elif len(rows) == 1 and not patience.is_watched(connection):
        together.record(connection, rows, _said(rows, after))
    else:
        # Each chunk as soon as it is there: the first tasks of a map() start while the last are being written.
        journal.record(connection, rows, lambda chunk: _said(chunk, after)())


def _said(rows: Sequence[NewTask], after: float) -> Announcement:
    said = Announcement()
    said.add(rows, after)
    return said


def _drafts(function: TaskFunction[..., Any], calls: list[Call], after: float) -> list[Draft]:
    options, now, name = function.options, time.time(), function.name
    allow_pickle, retry_count = conf.pickle, options.retries(conf.retry_count)
    payloads = _payloads(function, calls, allow_pickle)
    return [
        # (`created` only grows in a process, also when the clock is set back; what is due must not wait)
        Draft(
            task_id,
            name,
            payload,
            options,
            retry_count,
            created / 1e6,
            min(created / 1e6, now) + after,
            after > 0,
            function.hidden(*call) if options.sensitive else [],
        )
        for (task_id, created), payload, call in zip(ids.new(len(calls)), payloads, calls, strict=True)
    ]


def _payloads(function: TaskFunction[..., Any], calls: list[Call], allow_pickle: bool) -> list[Payload]:
    try:
        return [serialize.dump_call(*call, allow_pickle=allow_pickle) for call in calls]
    except ArgumentError as error:
        secrets = masking.Secrets()
        for args, kwargs in calls:
            secrets.add(args, kwargs, function.hidden(args, kwargs))
        if not secrets:
            raise
        raise ArgumentError(secrets(str(error))) from None  # (its cause may hold them, too)
