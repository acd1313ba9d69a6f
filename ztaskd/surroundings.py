"""What a task could leave changed for the next one because it belongs to the process: noted before the first
task begins, compared when one ends, and put back. What there is of it stands in belongings.py.

Slots share the process, so a change that is seen when a task ends may be another's that still runs, and
wants it for a moment (redirect_stdout, chdir). What is often lent like this waits for all who might have
made the change; everything else is put back at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django_ztask.rows import Claimed
from ztaskd import events
from ztaskd.belongings import Belonging, of_this_process
from ztaskd.output import standard

# Seconds after which a change goes even though a task that might have made it still runs.
LENT = 60.0


@dataclass
class Change:
    """A change that was seen: at whose end, and who else may have made it and still runs."""

    value: Any
    task: Claimed
    others: set[str]
    beside: bool
    until: float


class Surroundings:
    """`begin` and `end` go around each task. They never raise, and never yield to the hub."""

    def __init__(self) -> None:
        self._belongings: list[Belonging] = []
        self._reads: list[Callable[[], Any]] = []
        self._noted: list[Any] = []
        self._running: set[str] = set()
        self._ended: Claimed | None = None  # the last one
        self._lent: dict[str, Change] = {}

    def begin(self, task: Claimed) -> None:
        try:
            self._begin(task)
        except Exception as error:  # an object that a task has left, whose own methods raise
            events.emit("surroundings_unclear", task=task, error=error)
        self._running.add(task.id)

    def end(self, task: Claimed) -> None:
        self._running.discard(task.id)
        self._ended = task
        try:
            values = self._look()
            if self._lent or values != self._noted:
                self._put_back(task, values)
        except Exception as error:
            events.emit("surroundings_unclear", task=task, error=error)

    def _begin(self, task: Claimed) -> None:
        if not self._belongings:
            self._belongings = of_this_process()
            self._reads = [belonging.read for belonging in self._belongings]
            self._noted = self._look()
        # (gevent closes a pipe or a terminal later than os.close() returns, most often after the task's end.)
        elif self._lent or not standard.seem_untouched():
            self._put_back(self._ended or task, self._look())

    def _look(self) -> list[Any]:
        return [read() for read in self._reads]

    def _put_back(self, task: Claimed, values: list[Any]) -> None:
        """Whatever differs now, if it is time for it. One event for each task that it is put down to."""
        said: dict[tuple[str, bool], tuple[Claimed, list[str]]] = {}
        for belonging, noted, value in zip(self._belongings, self._noted, values, strict=True):
            if value == noted:
                self._lent.pop(belonging.name, None)
                continue
            change = self._change(belonging, value, task)
            if belonging.lent and change.others and time.monotonic() < change.until:
                continue
            self._lent.pop(belonging.name, None)
            text = belonging.tell(value, noted) + _put_back(belonging, noted)
            said.setdefault((change.task.id, change.beside), (change.task, []))[1].append(text)
        for (_, beside), (culprit, changes) in said.items():
            events.emit("surroundings_changed", task=culprit, beside=beside, changes=changes)

    def _change(self, belonging: Belonging, value: Any, task: Claimed) -> Change:
        """The change that was seen already, else a new one."""
        change = self._lent.get(belonging.name)
        if change is None or change.value != value:
            others = set(self._running)
            change = Change(value, task, others, bool(others), time.monotonic() + LENT)
            self._lent[belonging.name] = change
        change.others &= self._running
        return change


def _put_back(belonging: Belonging, noted: Any) -> str:
    try:
        belonging.put_back(noted)
    except Exception as error:
        return f" (which could not be put back: {error})"
    return ""
