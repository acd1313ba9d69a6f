"""What runs where: the stack of another thread or greenlet, as places, and which of them to show to people."""

from __future__ import annotations

import operator
import os
import re
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import accumulate, chain, repeat
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

# Frames that are looked at, and that are shown of one stack.
DEEPEST, SHOWN = 500, 25

_LIBRARY = re.compile(r"/(?:site|dist)-packages/|^<frozen ")

_DUMPED = re.compile(r'^  File "(.*)", line (\d+|\?\?\?) in (.*)$', re.MULTILINE)


class Place(NamedTuple):
    """A line of code that is being executed. `file` is its full path."""

    file: str
    line: int
    function: str


def frames(first: Callable[[], Any], pick: Callable[[Any], Any]) -> list[FrameType]:
    """The frames from `pick(first())` outwards, which must be C functions.

    All of it is one call into C, in which no other thread can run: a greenlet that is switched out while its frames
    are being walked crashes Python 3.12 and later.
    """
    found: list[Any] = []
    top = map(pick, map(operator.call, (first,)))
    with suppress(AttributeError, KeyError):  # (None, after the last one, has no f_back)
        found.extend(accumulate(chain(top, repeat("f_back", DEEPEST)), getattr))
    return [frame for frame in found if frame is not None]


def of_thread(ident: int) -> list[FrameType]:
    """What the thread executes now, from the innermost frame outwards."""
    return frames(sys._current_frames, operator.itemgetter(ident))


def of_greenlet(greenlet: Any) -> list[FrameType]:
    """Where a greenlet will go on. Empty for one that runs."""
    return frames(repeat(greenlet).__next__, operator.attrgetter("gr_frame"))


def of_coroutine(coroutine: Any) -> list[FrameType]:
    """Where a coroutine will go on, from the innermost frame outwards: through all that it awaits."""
    found = []
    while (frame := getattr(coroutine, "cr_frame", None)) is not None:
        found.append(frame)
        coroutine = coroutine.cr_await
    return found[::-1]


def places(found: Iterable[FrameType]) -> list[Place]:
    return [Place(f.f_code.co_filename, f.f_lineno or 0, f.f_code.co_name) for f in found]


def from_dump(text: str) -> list[Place]:
    """From what `faulthandler` writes of one thread."""
    return [
        Place(file, int(line) if line.isdigit() else 0, name) for file, line, name in _DUMPED.findall(text)
    ]


class Reader:
    """Reads stacks for people of a project: its own code matters, and its paths are short."""

    def __init__(self, file: str, function: str) -> None:
        """The code from which tasks are called."""
        self._call = file, function
        self._roots = sorted({f"{os.path.realpath(e)}{os.sep}" for e in sys.path}, key=len, reverse=True)
        packages = Path(__file__).resolve().parents[1]
        self._not_theirs = (
            f"{os.path.dirname(os.__file__)}{os.sep}",
            f"{packages / 'ztaskd'}{os.sep}",
            f"{packages / 'django_ztask'}{os.sep}",
        )
        self._names: dict[str, tuple[str, bool]] = {}

    def place(self, stack: list[Place]) -> str:
        """`shop/pdf.py:88`: the innermost line that is the project's own, else the innermost."""
        for place in stack:
            name, theirs = self._name(place.file)
            if theirs:
                return f"{name}:{place.line}"
        return f"{self._name(stack[0].file)[0]}:{stack[0].line}" if stack else "an unknown place"

    def lines(self, stack: list[Place]) -> list[str]:
        """The stack of a task's own code: the most recent call last, as in tracebacks."""
        shown = self._without_waiting(list(self._task_only(stack)))
        cut = [f"... {len(shown) - SHOWN} more"] if len(shown) > SHOWN else []
        named = [f"{self._name(file)[0]}:{line} in {function}" for file, line, function in shown[:SHOWN]]
        return [*cut, *reversed(named)]

    def _task_only(self, stack: list[Place]) -> Iterable[Place]:
        for place in stack:
            if (place.file, place.function) == self._call:
                return
            yield place

    def _without_waiting(self, stack: list[Place]) -> list[Place]:
        """All greenlets wait in the same way: of gevent's own frames only the first called is told."""
        inner = 0
        while inner < len(stack) and "/gevent/" in stack[inner].file:
            inner += 1
        return stack[max(0, inner - 1) :]

    def _name(self, file: str) -> tuple[str, bool]:
        """How it is shown, and whether it is the project's own."""
        known = self._names.get(file)
        if known is None:
            root = next((root for root in self._roots if file.startswith(root)), "")
            theirs = not (_LIBRARY.search(file) or file.startswith(self._not_theirs))
            known = self._names[file] = file.removeprefix(root), theirs
        return known
