"""@task(): makes a function a task function. No I/O at decoration, no socket, no model."""

from __future__ import annotations

import copy
import functools
import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Generic, ParamSpec, TypeVar, overload

from asgiref.sync import sync_to_async

from django_ztask import client, execute, masking, registry
from django_ztask.errors import NotImportable
from django_ztask.handle import TaskHandle
from django_ztask.options import Options, check_name, check_options, number

P = ParamSpec("P")
R = TypeVar("R")
Call = tuple[tuple[Any, ...], dict[str, Any]]


class TaskFunction(Generic[P, R]):
    """A decorated function. Calling it runs it here, as ever; its methods hand the call to a node."""

    function: Callable[P, R]

    def __init__(self, function: Callable[P, R], name: str | None, options: Options) -> None:
        functools.update_wrapper(self, function)  # first: another decorator's attributes are not ours
        self.function = function
        self.options = options
        self.is_async = execute.is_async(function)
        self._signature = inspect.signature(function)
        masking.check(options.sensitive, self._signature)
        self._positional = positional(self._signature)
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
        the transaction commits; with confirm=False, outside of one: it is committed in a moment, and lost
        only if this process is killed before). Raises TypeError for arguments the function does not take, ArgumentError
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
        """`async_` for coroutines. (With confirm=False, `async_` itself does not block them.)"""
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
        masking.check(chosen.sensitive, self._signature)
        other = copy.copy(self)
        other.options = chosen
        return other

    def _enqueue(self, calls: list[Call], after: float = 0.0) -> Any:
        least, most = self._positional
        for args, kwargs in calls:
            if kwargs or not least <= len(args) <= most:
                try:
                    self._signature.bind(*args, **kwargs)
                except TypeError as error:
                    raise TypeError(f"{self.name}: {error}") from None
        return client.enqueue(self, calls, after)

    def hidden(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[int | str]:
        """The positions and keywords of this call that nobody is to see."""
        return masking.hidden(self.options.sensitive, self._signature, args, kwargs)

    def ensure_importable(self) -> None:
        """Raises NotImportable when a node could not find this function by its name."""
        if self._importable is not None:
            raise self._importable

    def __repr__(self) -> str:
        return f"<task function {self.name}>"


def positional(signature: inspect.Signature) -> tuple[float, float]:
    """The least and the most arguments of a call that names none: what lies between needs no closer look."""
    least, most = 0, 0.0
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            most = math.inf
        elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            least, most = least + (parameter.default is parameter.empty), most + 1
        elif parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty:
            return 0, -1
    return least, most


# django-ztask's spelling, from before `async` became a keyword, for those who reach it by getattr.
setattr(TaskFunction, "async", TaskFunction.async_)


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
    hard_timeout: float | None = None,
    at_most_once: bool = False,
    confirm: bool | None = None,
    pool: str | None = None,
    sensitive: Sequence[str] = (),
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
        if inspect.isasyncgenfunction(given):
            raise TypeError(
                f"{function.__qualname__} is an async generator, which nobody would read: make it an async "
                "function that returns its result."
            )
        made = TaskFunction(function, name, chosen)
        registry.register(made)
        return made

    return decorate if function is None else decorate(function)
