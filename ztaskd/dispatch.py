"""Which rows this node takes next, and when: names and the clock come in, claims go out.

Memory holds what runs and little more. With a backlog a message only says "look", and rows are taken in
their order: priority, due time, call.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Sequence
from typing import Any

from gevent.event import Event

from django_ztask.lifecycle import Event as What
from django_ztask.lifecycle import Kind
from django_ztask.rows import Claimed, Finish
from ztaskd import events
from ztaskd.attempt import Attempts, cut_off, hand_back
from ztaskd.committer import Answer, Committer
from ztaskd.schedule import MOST_AHEAD, Alarm, Pace
from ztaskd.slots import Slots

# Of a message with many names, an idle node claims so many, which start at once; then it looks for the others.
FIRST = 10


class Dispatcher:
    """Owns the slots, and asks the committer for as much as they can take."""

    def __init__(self, committer: Committer, concurrency: int, died: Callable[[Any], None]) -> None:
        self.committer = committer
        self.attempts = Attempts(self.finished, committer.mark)
        self.slots = Slots(concurrency, self.attempts.run, died)
        self.alarm = Alarm()
        self.pace = Pace()
        self.unknown: dict[str, str] = {}  # task functions this node lacks, and why
        self.draining = False
        self.paused = False  # no more are claimed for now; what was claimed runs
        self.drained = Event()
        self._held = 0  # claimed and not finished
        self._asked = 0  # named to the committer, not answered
        self._looking = 0
        self._backlog = False
        self._again = False  # more was heard of while a look was under way: it may have missed it
        self._earlier = Event()

    # -- what comes in ------------------------------------------------------------------------------

    def named(self, ids: Sequence[str], later: float | None) -> None:
        """A message: these rows are due now, and another at `later`."""
        if self.alarm.arm(later):
            self._earlier.set()
        if self.draining or self.paused:
            return
        if not self._backlog and ids:
            room = max(0, self.room(self.pace.ahead(time.monotonic())))
            taken = ids[: room if self._held else min(room, FIRST)]
            if taken:
                self._asked += len(taken)
                self.committer.claim(taken)
            self._backlog = len(taken) < len(ids)
        elif later is None or ids:
            self._backlog = True
        self._again = self._again or self._backlog
        if not self._asked:  # (else the answer looks)
            self.look()

    def answered(self, answer: Answer) -> None:
        """What one transaction of the committer brought."""
        self._asked -= answer.named
        if answer.looked:
            self._looking = 0
            self._backlog = answer.more or self._again
            if self.alarm.arm(answer.next_due):
                self._earlier.set()
        for task in answer.claimed:
            self._held += 1
            if self.draining:
                self.finished(hand_back(task))
            else:
                self.slots.put(task)
        for finish in answer.fenced:
            events.emit("task_fenced", task=finish.task)
        self.look()

    def finished(self, finish: Finish) -> None:
        """An attempt is over: its end is on its way into the journal."""
        self._held -= 1
        self.pace.finished(time.monotonic())
        self.committer.finish(finish)
        if finish.verdict.event is What.RETRY and self.alarm.arm(finish.verdict.due):
            self._earlier.set()
        if finish.outcome.kind is Kind.UNKNOWN:
            self._not_known(finish)
        if self.draining and self._held == 0:
            self.drained.set()
        self.look()

    def _not_known(self, finish: Finish) -> None:
        """From now on its function's rows are left out of looks: said once, not for each of them."""
        name = finish.task.function_name
        if name not in self.unknown:
            self.unknown[name] = finish.outcome.exception or ""
            events.emit("function_unknown", task=finish.task, reason=finish.outcome.exception)

    def forget_unknown(self) -> None:
        """Looks for them once more: what kept a module from being imported may be over."""
        self.unknown.clear()
        importlib.invalidate_caches()

    # -- what goes out ------------------------------------------------------------------------------

    def room(self, ahead: int) -> int:
        """How many more rows may be claimed, with that many beyond the slots."""
        return self.slots.size + ahead - self._held - self._asked - self._looking

    def look(self, anyway: bool = False) -> None:
        """Asks for due rows, when some may be waiting (or `anyway`) and slots can take them."""
        if self._looking:
            self._again = self._again or anyway
        if self.draining or self.paused or self._looking or not (self._backlog or anyway):
            return
        ahead = self.pace.ahead(time.monotonic())
        room = self.room(ahead)
        # (While a good part of what was claimed ahead still waits for a slot, a look for a row or two can wait.)
        worth = ahead - min(ahead // 2, MOST_AHEAD // 4)
        if room <= 0 or (room < worth and not anyway):
            self._backlog = True
            return
        self._looking, self._again = room, False
        self.committer.look(room, frozenset(self.unknown))

    def watch_clock(self) -> None:
        """A service greenlet: looks when a row is due, and once a second whatever happens."""
        while True:
            self._earlier.clear()
            if self.alarm.ring(time.time()):
                self.look(anyway=True)
            self._earlier.wait(self.alarm.wait(time.time()))

    # -- the end ------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Takes no more; hands back what has not started. `drained` is set when nothing runs."""
        self.draining = True
        for task in self.slots.take_back():
            self.finished(hand_back(task))
        if self._held == 0:
            self.drained.set()

    def running(self) -> list[Claimed]:
        return list(self.slots.running.values())

    def interrupt(self) -> None:
        self.attempts.interrupting = True
        self.slots.interrupt()

    def give_up(self) -> None:
        """Hands back what swallowed its interruption: whatever it still returns will be fenced."""
        for task in self.running():
            events.emit("task_swallowed_interrupt", task=task)
            self.committer.finish(cut_off(task))
