"""Which rows this node takes next, and when: names and the clock come in, claims go out.

Memory holds what runs and little more. With a backlog a message only says "look", and rows are taken in
their order: priority, due time, call. Nobody knows whose a name is before it is claimed: names are claimed for the
first lane; what they do not bring is looked for in the others.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Collection, Sequence

from gevent.event import Event

from django_ztask.lifecycle import Event as What
from django_ztask.lifecycle import Kind
from django_ztask.rows import Claimed, Finish
from ztaskd import events
from ztaskd.attempt import Attempts, cancelled, cut_off, hand_back
from ztaskd.committer import Answer, Committer
from ztaskd.lanes import Lane
from ztaskd.schedule import Alarm

# Of a message with many names, an idle node claims so many, which start at once; then it looks for the others.
FIRST = 10


class Dispatcher:
    """Owns the lanes, and asks the committer for as much as they can take. `lanes` makes them, for the attempts at
    their places; the first is that of names. Rows of a pool that no lane serves stay where they are."""

    def __init__(self, committer: Committer, lanes: Callable[[Attempts], Sequence[Lane]]) -> None:
        self.committer = committer
        self.attempts = Attempts(self.finished, committer.mark)
        self.lanes = lanes(self.attempts)
        self.first, *self.others = self.lanes
        self.alarm = Alarm()
        self.unknown: dict[str, str] = {}  # task functions this node lacks, and why
        self.announced = 0  # tasks that were named, ever
        self.draining = False
        self.paused: set[str] = set()  # why no more are claimed for now; what was claimed runs
        self.drained = Event()
        self._lane = {pool: lane for lane in self.lanes for pool in lane.pools}
        self._looking = False
        self._putting_aside = False  # what looks find is of paused queues, and in the way of others
        self._earlier = Event()

    # -- what comes in ------------------------------------------------------------------------------

    def named(self, ids: Sequence[str], later: float | None, more: float = 0.0) -> None:
        """A message: these rows are due now, and another at `later`; within `more` seconds others may be committed."""
        self.announced += len(ids)
        if self.alarm.arm(later) | (more > 0 and self.alarm.again(time.time() + more)):
            self._earlier.set()
        if self.draining or self.paused:
            return
        lane = self.first
        if ids and (not lane.backlog or self._putting_aside):
            room = max(0, lane.room())
            taken = ids[: room if lane.held else min(room, FIRST)]
            if taken:
                lane.asked += len(taken)
                self.committer.claim(taken, lane.pools)
            heard = len(taken) < len(ids)
        else:
            heard = later is None or bool(ids)
        if heard:
            for each in self.lanes:
                each.heard()
        if not lane.asked:  # (else the answer looks)
            self.look()

    def answered(self, answer: Answer) -> None:
        """What one transaction of the committer brought."""
        self.first.asked -= answer.named
        if answer.looked:
            self._looking, self._putting_aside = False, bool(answer.aside)
            for lane in self.lanes:
                lane.looked(lane.pools in answer.more)
            if self.alarm.arm(answer.next_due):
                self._earlier.set()
        if answer.missed:
            for lane in self.others:
                lane.heard()
        for task in answer.claimed:
            lane = self._lane[task.pool]
            lane.held += 1
            if self.draining:
                self.finished(hand_back(task))
            else:
                lane.places.put(task)
        for finish in answer.fenced:
            events.emit("task_fenced", task=finish.task)
        self.look()

    def finished(self, finish: Finish) -> None:
        """An attempt is over: its end is on its way into the journal."""
        self._lane[finish.task.pool].finished()
        self.committer.finish(finish)
        if finish.verdict.event is What.RETRY and self.alarm.arm(finish.verdict.due):
            self._earlier.set()
        if finish.outcome.kind is Kind.UNKNOWN:
            self._not_known(finish)
        if self.draining:
            self._tell_drained()
        self.look()

    def cancel(self, ids: Sequence[str]) -> None:
        """The journal says that these are to end: what has not started is over, and what runs is told, once."""
        wanted = set(ids) - self.attempts.cancelling
        if not wanted:
            return
        self.attempts.cancelling |= wanted & {task.id for task in self.running()}
        for lane in self.lanes:
            for task in lane.places.cancel(wanted):
                finish = cancelled(task)
                self.finished(finish)
                events.emit("task_ended", finish=finish, seconds=0.0)

    def hold(self, ids: Collection[str] | None) -> int:
        """The journal says that these (None: all) are of a paused queue: what has not started goes back. Returns how
        many those are, without what gives up its place by itself."""
        held = [task for lane in self.lanes for task in lane.places.hold(ids, self.attempts.has_begun)]
        for task in held:
            self.finished(hand_back(task))
        return len(held)

    def go_on(self, reason: str) -> None:
        """`reason` is none any more to claim nothing; others may be."""
        self.paused.discard(reason)
        self.look(anyway=True)

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

    def look(self, anyway: bool = False) -> None:
        """Asks for due rows, for the lanes where some may be waiting (or `anyway`) and whose places can take them."""
        if self._looking and anyway:
            for lane in self.lanes:
                lane.overlooked()
        if self.draining or self.paused or self._looking:
            return
        wants = []
        for lane in self.lanes:
            if (lane.backlog or anyway) and (number := lane.wants(anyway)):
                if self._putting_aside:  # (names are to find room beside such looks, one after the other)
                    number = (number + 1) // 2
                lane.looks(number)
                wants.append((lane.pools, number))
        if wants:
            self._looking = True
            self.committer.look(wants, frozenset(self.unknown))

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
        self.attempts.leave()
        for lane in self.lanes:
            for task in lane.places.take_back():
                self.finished(hand_back(task))
        self._tell_drained()

    def _tell_drained(self) -> None:
        if not self.holds():
            self.drained.set()

    def holds(self) -> bool:
        """True while something that was claimed is not finished."""
        return any(lane.held for lane in self.lanes)

    def running(self) -> list[Claimed]:
        """In any thread. (A copy is made in one step; what is walked through may change meanwhile.)"""
        return [task for lane in self.lanes for task in list(lane.places.running.values())]

    def interrupt(self) -> None:
        for lane in self.lanes:
            lane.places.interrupt()

    def give_up(self) -> None:
        """Hands back what swallowed its interruption: whatever it still returns will be fenced."""
        for task in self.running():
            is_cancelled = task.id in self.attempts.cancelling
            events.emit("task_swallowed_interrupt", task=task, cancelled=is_cancelled)
            self.committer.finish(cut_off(task, Kind.CANCELLED if is_cancelled else Kind.INTERRUPTED))
