"""What @task(...) and func.using(...) take, and what they refuse: at import, with the option's name."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from django_ztask.lifecycle import GREENLET, PROCESS

_POLICY = ("retry_count", "retry_after", "backoff", "timeout", "hard_timeout")
_LEAST = {"retry_after": "0 or more", "backoff": "1 or more", "timeout": "above 0", "hard_timeout": "above 0"}
_NOTHING_CHOSEN = (None,) * len(_POLICY)


@dataclass(frozen=True, slots=True)
class Options:
    """What `@task(...)` and `func.using(...)` take; None means: as the settings say.

    queue: a label of the row (every node runs all queues; `ztaskd pause` holds one back). priority: -32768..32767,
    higher starts first.
    retry_count: retries after the first attempt. retry_after: seconds between attempts. backoff: each
    further pause is this many times the one before. timeout: seconds until TimeLimitExceeded is raised in
    the task. hard_timeout: seconds until its process is killed, in a child (10 s after a timeout, if there is
    one). at_most_once: never started again once it has started, whatever happens: no retries, and after
    a crash or an interruption it is FAILED. confirm: False lets a call outside of a transaction return before
    its row is committed; a thread of the process commits it in a moment, with others. pool: "greenlet" (it
    runs in a slot of the node) or "process" (in a process of the node's: for work that keeps the CPU busy).
    sensitive: names of parameters whose values no line of the log and no command shows (the row holds them).
    """

    queue: str = "default"
    priority: int = 0
    retry_count: int | None = None
    retry_after: float | None = None
    backoff: float | None = None
    timeout: float | None = None
    hard_timeout: float | None = None
    at_most_once: bool = False
    confirm: bool | None = None
    pool: str | None = None
    sensitive: Sequence[str] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "sensitive", _names(self.sensitive))
        if not isinstance(self.queue, str) or not 1 <= len(self.queue) <= 100:
            raise ValueError(f"queue must be a string of 1 to 100 characters, not {self.queue!r}")
        storable("queue", self.queue)
        whole_number("priority", self.priority, -32768, 32767)
        if self.retry_count is not None:
            whole_number("retry_count", self.retry_count, 0, 2**31 - 1)
        if not isinstance(self.at_most_once, bool):
            raise TypeError(f"at_most_once must be True or False, not {self.at_most_once!r}")
        if self.confirm is not None and not isinstance(self.confirm, bool):
            raise TypeError(f"confirm must be True or False, not {self.confirm!r}")
        if self.pool is not None and self.pool not in (GREENLET, PROCESS):
            raise ValueError(f'pool must be "{GREENLET}" or "{PROCESS}", not {self.pool!r}')
        if self.at_most_once and self.retry_count:
            raise ValueError("at_most_once tasks are not retried: leave out retry_count")
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value is not None:
                number(name, value)
                if value < (1 if name == "backoff" else 0) or (value == 0 and least == "above 0"):
                    raise ValueError(f"{name} must be {least}, not {value!r}")
        if self.timeout is not None and self.hard_timeout is not None and self.hard_timeout < self.timeout:
            raise ValueError(f"hard_timeout must not be below timeout, which is {self.timeout!r}")

    def policy(self) -> dict[str, float]:
        """What the row must remember: the choices that differ from the settings."""
        chosen = (self.retry_count, self.retry_after, self.backoff, self.timeout, self.hard_timeout)
        if chosen == _NOTHING_CHOSEN:
            policy = {}
        else:
            policy = {name: value for name, value in zip(_POLICY, chosen, strict=True) if value is not None}
        return {**policy, "at_most_once": True} if self.at_most_once else policy

    def retries(self, default: int) -> int:
        """Retries after the first attempt; `default` is the setting's."""
        if self.at_most_once:
            return 0
        return default if self.retry_count is None else self.retry_count


def _names(names: object) -> tuple[str, ...]:
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"sensitive must be a tuple or a list of parameter names, not {names!r}")
    return tuple(names)


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
