"""@task(): makes a function a task function. No I/O at decoration, no socket, no model."""

from __future__ import annotations

import copy
import functools
import inspect
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from typing import Any, Generic, ParamSpec, TypeVar, overload

from asgiref.sync import sync_to_async

from django_ztask import client, registry
from django_ztask.errors import NotImportable
from django_ztask.handle import TaskHandle

P = ParamSpec("P")
R = TypeVar("R")
Call = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Options:
    """What `@task(...)` and `func.using(...)` take; None means: as the settings say.

    queue: a label of the row (every node runs all queues). priority: -32768..32767, higher starts first.
    retry_count: retries after the first attempt. retry_after: seconds between attempts. backoff: each
    further pause is this many times the one before. timeout: seconds until TimeLimitExceeded is raised in
    the task. at_most_once: never started again once it has started, whatever happens: no retries, and after
    a crash or an interruption it is FAILED.
    """

    queue: str = "default"
    priority: int = 0
    retry_count: int | None = None
    retry_after: float | None = None
    backoff: float | None = None
    timeout: float | None = None
    at_most_once: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.queue, str) or not 1 <= len(self.queue) <= 100:
            raise ValueError(f"queue must be a string of 1 to 100 characters, not {self.queue!r}")
        storable("queue", self.queue)
        whole_number("priority", self.priority, -32768, 32767)
        if self.retry_count is not None:
            whole_number("retry_count", self.retry_count, 0, 2**31 - 1)
        if not isinstance(self.at_most_once, bool):
            raise TypeError(f"at_most_once must be True or False, not {self.at_most_once!r}")
        if self.at_most_once and self.retry_count:
            raise ValueError("at_most_once tasks are not retried: leave out retry_count")
        for name, least in (("retry_after", "0 or more"), ("backoff", "1 or more"), ("timeout", "above 0")):
            value = getattr(self, name)
            if value is not None:
                number(name, value)
                if value < (1 if name == "backoff" else 0) or (name == "timeout" and value == 0):
                    raise ValueError(f"{name} must be {least}, not {value!r}")

    def policy(self) -> dict[str, float]:
        """What the row must remember: the choices that differ from the settings."""
        chosen = {name: getattr(self, name) for name in ("retry_count", "retry_after", "backoff", "timeout")}
        policy = {name: value for name, value in chosen.items() if value is not None}
        return {**policy, "at_most_once": True} if self.at_most_once else policy

    def retries(self, default: int) -> int:
        """Retries after the first attempt; `default` is the setting's."""
        if self.at_most_once:
            return 0
        return default if self.retry_count is None else self.retry_count


def storable(name: str, value: str) -> None:
    """Raises ValueError for a text that not every database takes."""
    if not value.isprintable():  # (a NUL, a lone surrogate, a line break)
        raise ValueError(f"{name} must consist of printable characters, not {value!r}")


def whole_number(name: str, value: object, least: int, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be a whole number, not {value!r}")
    if not least <= value <= most:
        raise ValueError(f"{name} must be from {least} to {most}, not {value!r}")


def number(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number, not {value!r}")
    # (math.isfinite would overflow on an int of 400 digits)
    if not -sys.float_info.max <= value <= sys.float_info.max:
        raise ValueError(f"{name} must be finite, not {value!r:.40}")


class TaskFunction(Generic[P, R]):
    """A decorated function. Calling it runs it here, as ever; its methods hand the call to a node."""

    function: Callable[P, R]

    def __init__(self, function: Callable[P, R], name: str | None, options: Options) -> None:
        functools.update_wrapper(self, function)  # first: another decorator's attributes are not ours
        self.function = function
        self.options = options
        self._signature = inspect.signature(function)
        self._importable: NotImportable | None = None
        try:
            self.name = name or registry.importable_name(function)
        except NotImportable as error:
            # It may still be called directly and eagerly: who enqueues it is told.
            self.name, self._importable = f"{function.__module__}.{function.__qualname__}", error
        check_name(self.name)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def async_(self, *args: P.args, **kwargs: P.kwargs) -> TaskHandle[R]:
        """Records the call as a task that is due now.

        When this returns, the task is committed (inside `transaction.atomic()`: it exists if and only if
        the transaction commits). Raises TypeError for arguments the function does not take, ArgumentError
        for what cannot be serialised, and the database's own error when the row cannot be written.
        """
        return self._enqueue([(args, kwargs)])[0]

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> TaskHandle[R]:
        """The same as `async_`."""
        return self._enqueue([(args, kwargs)])[0]

    def after(self, seconds: float, /, *args: P.args, **kwargs: P.kwargs) -> TaskHandle[R]:
        """Records the call as a task that is due in `seconds` (int or finite float, 0 or more)."""
        number("seconds", seconds)
        if seconds < 0:
            raise ValueError(f"seconds must be 0 or more, not {seconds!r}")
        return self._enqueue([(args, kwargs)], seconds)[0]

    async def aasync(self, *args: P.args, **kwargs: P.kwargs) -> TaskHandle[R]:
        """`async_` for coroutines."""
        return (await sync_to_async(self._enqueue)([(args, kwargs)]))[0]

    def map(self, calls: Iterable[Any]) -> list[TaskHandle[R]]:
        """Records one task for each item, in order: a tuple holds a call's positional arguments, anything
        else is its only argument. All are serialised before the first is written; then they are
        committed 500 at a time."""
        items: list[Call] = [(item if isinstance(item, tuple) else (item,), {}) for item in calls]
        return self._enqueue(items)

    def using(self, *, name: str | None = None, **options: Any) -> TaskFunction[P, R]:
        """This task function with other options, for the calls made through what is returned.

        With a `name`, it is registered under that name: do so at the top of a module that the daemon
        imports, or it will not know the name.
        """
        check_options(options)
        chosen = replace(self.options, **options)
        if name is not None:
            other = TaskFunction(self.function, check_name(name), chosen)
            registry.register(other)
            return other
        other = copy.copy(self)
        other.options = chosen
        return other

    def _enqueue(self, calls: list[Call], after: float = 0.0) -> Any:
        for args, kwargs in calls:
            try:
                self._signature.bind(*args, **kwargs)
            except TypeError as error:
                raise TypeError(f"{self.name}: {error}") from None
        return client.enqueue(self, calls, after)

    def ensure_importable(self) -> None:
        """Raises NotImportable when a node could not find this function by its name."""
        if self._importable is not None:
            raise self._importable

    def __repr__(self) -> str:
        return f"<task function {self.name}>"


# django-ztask's spelling, from before `async` became a keyword, for those who reach it by getattr.
setattr(TaskFunction, "async", TaskFunction.async_)


def check_name(name: object) -> str:
    if not isinstance(name, str) or not name.strip():
        raise TypeError(f"name must be a string, not {name!r}")
    if len(name) > 255:
        raise ValueError(f"the task name {name[:40]}... is longer than 255 characters")
    storable("the task name", name)
    return name


def check_options(options: dict[str, Any]) -> None:
    known = [field.name for field in fields(Options)]
    for name in options:
        if name not in known:
            raise TypeError(f"unknown task option {name!r}: choose from {', '.join(['name', *known])}")


@overload
def task(function: Callable[P, R], /) -> TaskFunction[P, R]: ...
@overload
def task(
    *,
    name: str | None = None,
    queue: str = "default",
    priority: int = 0,
    retry_count: int | None = None,
    retry_after: float | None = None,
    backoff: float | None = None,
    timeout: float | None = None,
    at_most_once: bool = False,
) -> Callable[[Callable[P, R]], TaskFunction[P, R]]: ...
def task(function: Any = None, /, *, name: str | None = None, **options: Any) -> Any:
    """Decorator: `@task()`, bare `@task`, or with the options that `Options` describes and a `name`.

    Raises TypeError or ValueError, at import, for options that cannot be meant.
    """
    if name is not None:
        check_name(name)
    check_options(options)
    chosen = Options(**options)

    def decorate(function: Callable[P, R]) -> TaskFunction[P, R]:
        given: Any = function
        if not inspect.isfunction(given):
            raise TypeError(f"@task() decorates a plain function, not {function!r}")
        if inspect.iscoroutinefunction(given) or inspect.isasyncgenfunction(given):
            raise TypeError(
                f"{function.__qualname__} is an async function: ztaskd does not run those yet. Make it a "
                "plain function (in a slot, waiting does not block other tasks)."
            )
        made = TaskFunction(function, name, chosen)
        registry.register(made)
        return made

    return decorate if function is None else decorate(function)
