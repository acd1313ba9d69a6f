"""How far a task is, as it says itself: what progress() takes, who hears it in this process, and its text in the row.

Nothing here waits, and nothing is raised but for wrong arguments. Who writes it down: ztaskd/progress.py.
"""

from __future__ import annotations

import json
import operator
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from numbers import Real
from typing import Any

import msgspec

from django_ztask.serialize import clean

# Characters of a text that are kept.
TEXT = 200

# A whole number beyond this one is kept as a float.
_WHOLE = 2**63 - 1


class Progress(msgspec.Struct, frozen=True):
    """`done` of `total` (None: nobody knows), a short text, and when that was said (epoch seconds)."""

    done: int | float
    total: int | float | None
    text: str
    at: float

    @property
    def fraction(self) -> float | None:
        """From 0 to 1. None: nobody knows."""
        if self.total is None:
            return None
        return min(1.0, self.done / self.total) if self.total else 1.0


Heard = Callable[[str, int, Progress], None]


class Kept:
    """The last progress of one attempt."""

    __slots__ = ("attempt", "last")

    def __init__(self, attempt: int) -> None:
        self.attempt = attempt
        self.last: Progress | None = None


_eager: dict[str, Kept] = {}  # eager calls that run in this process, by their ids
_heard: Heard | None = None


def deliver_to(heard: Heard | None) -> None:
    """From now on `heard` is called in this process: with a task's id, its attempt, and what it said. In any thread."""
    global _heard
    _heard = heard


def report(task_id: str, attempt: int, done: Any, total: Any, text: str) -> None:
    """Raises TypeError or ValueError for what is no progress."""
    if not isinstance(text, str):
        raise TypeError(f"the text of progress() must be a str, not {text!r:.100}")
    said = Progress(
        _number("done", done),
        None if total is None else _number("total", total),
        clean(text[:TEXT])[:TEXT] if text else "",
        time.time(),
    )
    kept = _eager.get(task_id)
    if kept is not None:
        kept.last = said
    else:
        hear(task_id, attempt, said)


def hear(task_id: str, attempt: int, said: Progress) -> None:
    """(Without anybody who hears it, it is gone.)"""
    if _heard is not None:
        _heard(task_id, attempt, said)


@contextmanager
def keeping(task_id: str) -> Iterator[Kept]:
    """What an eager call says meanwhile."""
    _eager[task_id] = kept = Kept(1)
    try:
        yield kept
    finally:
        del _eager[task_id]


def _number(name: str, value: Any) -> float:
    """An int of 64 bits or a finite float, 0 or more."""
    kind = type(value)
    if kind is not int and kind is not float:
        value = _plain(name, value)
    if not 0 <= value <= _WHOLE:
        value = _large(name, value)
    number: float = value
    return number


def _plain(name: str, value: Any) -> float:
    """Of numpy's numbers, Decimal, Fraction, ..."""
    if not isinstance(value, bool):
        try:
            return operator.index(value)
        except TypeError:
            if isinstance(value, Real | Decimal):
                return float(value)
    raise TypeError(f"{name} of progress() must be a number, not {value!r:.100}")


def _large(name: str, value: float) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = float("inf")
    if not 0 <= number < float("inf"):
        raise ValueError(f"{name} of progress() must be finite and 0 or more, not {value!r:.40}")
    return number


def to_text(said: Progress, attempt: int) -> str:
    """What stands in the row: JSON in ASCII."""
    return json.dumps({"attempt": attempt, **msgspec.structs.asdict(said)})


def of_row(text: Any) -> tuple[int, Progress] | None:
    """The attempt, and what it said last. None: nothing, or what somebody has typed there by hand."""
    if not isinstance(text, str) or not text:
        return None
    try:
        found = json.loads(text)
        total = None if found["total"] is None else _number("total", found["total"])
        said = Progress(
            _number("done", found["done"]), total, clean(str(found["text"])), _number("at", found["at"])
        )
        return int(found["attempt"]), said
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
        return None
