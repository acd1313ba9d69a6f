"""One attempt without a place: verify -> find -> decode -> call -> Outcome. Owns current_task().

Used by slots, and by eager calls in the web process. Knows neither gevent nor the journal.
"""

from __future__ import annotations

import contextvars
import traceback
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from asgiref.sync import async_to_sync, iscoroutinefunction

from django_ztask import masking, progress, registry, serialize
from django_ztask.conf import conf, keys
from django_ztask.errors import MacError, TaskCancelled, TaskInterrupted, UnknownTask
from django_ztask.lifecycle import Kind, Outcome
from django_ztask.serialize import Payload

if TYPE_CHECKING:
    from django_ztask.decorators import TaskFunction

# How a place waits for a coroutine, which what it is given makes: returns or raises what that does.
Wait = Callable[[Callable[[], Coroutine[Any, Any, Any]]], Any]

# Modules whose frames are left out at the beginning of a traceback.
OURS = (__name__, "ztaskd.awaiting", "ztaskd.coroutines", "ztaskd.workers.coroutines")

# Characters kept of an exception's message and of a traceback (its first and last parts).
MESSAGE_LIMIT, TRACEBACK_LIMIT = 2000, 64000


class CurrentTask(msgspec.Struct, frozen=True):
    """What a running task function can know of its task.

    `id` stays the same over retries and repeats: it is the idempotency key. `attempt` counts starts,
    from 1. `retries_left`: how many more attempts a failure of this one would leave.
    """

    id: str
    function_name: str
    attempt: int
    retries_left: int

    def progress(self, done: float, total: float | None = None, text: str = "") -> None:
        """Says how far this attempt is: `done` of `total` (None: nobody knows), with a short text of which 200
        characters are kept. Takes microseconds and never waits: the latest is shown, and written down twice a second at
        most. Any thread may call it that was given this object; after the attempt's end it does nothing.

        Raises TypeError for what is no number (or no str), ValueError for a negative or infinite one.
        """
        progress.report(self.id, self.attempt, done, total, text)


_current: contextvars.ContextVar[CurrentTask | None] = contextvars.ContextVar("ztaskd_task", default=None)


def current_task() -> CurrentTask | None:
    """The task that is running here, or None outside of one."""
    return _current.get()


def task_in(context: contextvars.Context) -> CurrentTask | None:
    """The task whose context that is."""
    return context.get(_current)


def is_async(function: Callable[..., Any]) -> bool:
    """True when calling it makes a coroutine. (Asked once for each task function.)"""
    return iscoroutinefunction(function)


def wait_here(start: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """How an eager call waits: on an event loop of its own, or on that of the `await` it came from."""
    return async_to_sync(start)()


def callable_of(function: TaskFunction[..., Any], wait: Wait) -> Callable[..., Any]:
    """What calls the task function, and waits for it if it is an async one."""
    return partial(_await, wait, function.function) if function.is_async else function.function


def _await(wait: Wait, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    return wait(partial(function, *args, **kwargs))


def run(
    task: CurrentTask,
    payload: Payload,
    mac: str,
    limit: AbstractContextManager[Any] | None = None,
    wait: Wait = wait_here,
    hidden: masking.Hidden = (),
) -> Outcome:
    """One attempt. Whatever the task function raises becomes the Outcome; nothing is raised from here.

    `limit` is entered around the call alone: it may raise in the task (a time limit). `wait`: for async functions.
    `hidden`: arguments that nobody is to see: no text of the outcome holds them, nor what the function itself calls
    sensitive.
    """
    secrets = masking.Secrets()
    try:
        serialize.verify(task.id, task.function_name, payload, mac, keys("row"))
        if payload.codec == serialize.PICKLE and not conf.pickle:
            return Outcome(Kind.REFUSED, exception="its arguments are a pickle, and ZTASKD_PICKLE is False")
        if payload.codec == serialize.LEGACY:
            reason = "its arguments are those of django-ztask, which could not be read when it was upgraded"
            return Outcome(Kind.REFUSED, exception=reason)
        return _run_verified(task, payload, limit or nullcontext(), wait, hidden, secrets)
    except MacError as error:
        return Outcome(Kind.REFUSED, exception=describe(error))
    except TaskInterrupted as error:
        return _ended(Kind.INTERRUPTED, error, secrets)
    except TaskCancelled as error:
        return _ended(Kind.CANCELLED, error, secrets)


def _ended(kind: Kind, error: BaseException, secrets: masking.Secrets) -> Outcome:
    return Outcome(kind, exception=describe(error, secrets), traceback=format_traceback(error, secrets))


def _run_verified(
    task: CurrentTask,
    payload: Payload,
    limit: AbstractContextManager[Any],
    wait: Wait,
    hidden: masking.Hidden,
    secrets: masking.Secrets,
) -> Outcome:
    try:
        found = registry.find(task.function_name)
        function = callable_of(found, wait)
    except UnknownTask as error:
        return Outcome(Kind.UNKNOWN, exception=describe(error))
    try:
        args, kwargs = serialize.load_call(payload.codec, payload.args, payload.kwargs)
        if hidden or found.options.sensitive:
            secrets.add(args, kwargs, [*hidden, *found.hidden(args, kwargs)])
        value = call(task, function, args, kwargs, limit)
        result = None
        if value is not None:
            key = keys("result")[0]
            result = serialize.dump_result(value, task.id, key, allow_pickle=conf.pickle, mask=secrets)
    except (TaskInterrupted, TaskCancelled):
        raise
    except (
        BaseException
    ) as error:  # SystemExit, GreenletExit, KeyboardInterrupt: a task's failure, never ours
        return _ended(Kind.FAILURE, error, secrets)
    return Outcome(Kind.SUCCESS, result=result)


def call(
    task: CurrentTask,
    function: Callable[..., Any],
    args: Any,
    kwargs: dict[str, Any],
    limit: AbstractContextManager[Any],
) -> Any:
    """Calls in a context of its own: what a task sets in context variables (its language, its time zone)
    is gone with it."""

    def inside() -> Any:
        _current.set(task)
        with limit:
            return function(*args, **kwargs)

    return contextvars.Context().run(inside)


def describe(error: BaseException, mask: Callable[[str], str] = str) -> str:
    """`module.Type: message`, on one line at least in its beginning, fit for any database."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    try:
        message = str(error)
    except BaseException:
        message = "<its __str__ raised>"
    message = mask(message)
    return serialize.clean(f"{name}: {message}" if message else name)[:MESSAGE_LIMIT]


def format_traceback(error: BaseException, mask: Callable[[str], str] = str) -> str:
    """The traceback as text, without the frames of ztaskd itself."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_globals.get("__name__") in OURS:
        frames = frames.tb_next
    try:
        text = "".join(traceback.format_exception(type(error), error, frames))
    except BaseException as trouble:
        text = f"{describe(error)}\n(its traceback could not be formatted: {describe(trouble)})"
    text = serialize.clean(mask(text))
    if len(text) > TRACEBACK_LIMIT:
        half = TRACEBACK_LIMIT // 2
        text = f"{text[:half]}\n... {len(text) - 2 * half} characters left out ...\n{text[-half:]}"
    return text
