"""What a node tells of itself, and does, when a control message asks: `status` and `stop`. Everything is in memory, on
the hub: no answer waits for the journal.
"""

from __future__ import annotations

import heapq
import os
import socket
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from django_ztask import __version__
from django_ztask.errors import MessageError
from django_ztask.progress import Progress
from ztaskd import events
from ztaskd.lanes import CHILDREN, FEWER_SLOTS, MORE_CHILDREN, SLOTS, SUSPECTS, Lane
from ztaskd.notify import manager
from ztaskd.tallies import Tallies, fit
from ztaskd.workers.pool import Workers

if TYPE_CHECKING:
    from ztaskd.node import Node
    from ztaskd.reader import Command

# So many running tasks are told of, those that run the longest; and so many task functions that have blocked the hub.
# (A reply has its end.)
MOST_RUNNING, MOST_BLOCKINGS = 200, 20

# Seconds between the answer to `stop` and the stop, whose first act is to close the socket.
ANSWERED = 0.1

PLACES = {SLOTS: "slot", FEWER_SLOTS: "slot", CHILDREN: "child", MORE_CHILDREN: "child", SUSPECTS: "suspect"}


class Telling:
    """Of one node. Made when its parts are there."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.tallies = Tallies()
        self.started = time.time()
        self._clock = time.monotonic()
        self._asked = False
        events.subscribe(self.tallies.hear)

    def commands(self) -> dict[str, Command]:
        return {"status": self.status, "stop": self.stop}

    def status(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The node as it is now. Times are epoch seconds, spans are seconds."""
        _none("status", arguments)
        node = self.node
        running = {PLACES[lane.pools]: len(lane.places.running) for lane in node.dispatcher.lanes}
        return {
            **self._identity(),
            "version": __version__,
            "url": node.lease.url,
            "time": time.time(),
            "started": self.started,
            "uptime": time.monotonic() - self._clock,
            "concurrency": node.concurrency,
            "multiprocess": node.multiprocess,
            "slots": {"busy": running["slot"], "total": node.concurrency},
            "children": _children(node.workers, running["child"]),
            "suspects": _children(node.suspects, running["suspect"]),
            "waiting": sum(lane.held for lane in node.dispatcher.lanes) - sum(running.values()),
            "paused": sorted(node.dispatcher.paused),
            "reload": manager.refusal,
            "draining": node.dispatcher.draining,
            "journal_silent": node.committer.silence(),
            "rates": self.tallies.rates(),
            "totals": self.tallies.totals(),
            "last_error": self.tallies.failures[-1] if self.tallies.failures else None,
            "failures": list(self.tallies.failures),
            "blockings": self._blockings(),
            "refused": dict(node.intake.reader.refused),
            "running": self._running(),
            "running_total": sum(running.values()),
        }

    def stop(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Begins what TERM begins, as soon as the answer is out. Asked twice, it goes on with it. Raises MessageError
        while new code takes over: who serves next is to be asked."""
        _none("stop", arguments)
        if self.node.handover is not None and self.node.handover.asked:
            raise MessageError("busy", "new code is taking over just now: ask again")
        if not self._asked:
            self._asked = True
            self.node.signals.stop_in(ANSWERED)
            events.emit("note", text="a message asks to stop (`ztaskd stop`)")
        return {**self._identity(), "grace": self.node.grace, "running": len(self.node.dispatcher.running())}

    def _identity(self) -> dict[str, Any]:
        """`reloader`: the process id of its parent under the reloader, which ends with it."""
        handover = self.node.handover
        return {
            "name": self.node.lease.name,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "boot": self.node.lease.boot,
            "reloader": None if handover is None else handover.parent,
        }

    def _running(self) -> list[dict[str, Any]]:
        """`progress`: what the task has said of it, if anything."""
        now, said = time.monotonic(), self.node.reports.latest
        oldest = heapq.nsmallest(
            MOST_RUNNING,
            (found for lane in self.node.dispatcher.lanes for found in _each(lane)),
            key=lambda found: found[0],
        )
        return [
            {
                "id": task.id,
                "function": fit(task.function_name),
                "attempt": task.attempt,
                "since": now - began,
                "place": place,
                "progress": _progress(said.get(task.id)),
            }
            for began, place, task in oldest
        ]

    def _blockings(self) -> list[dict[str, Any]]:
        """(The watchdog's thread writes there.)"""
        totals = list(self.node.watchdog.totals.functions.items())
        worst = heapq.nlargest(MOST_BLOCKINGS, totals, key=lambda item: item[1].seconds)
        return [
            {
                "function": fit(name),
                "times": total.times,
                "seconds": total.seconds,
                "longest": total.longest,
            }
            for name, total in worst
        ]


def _each(lane: Lane) -> Iterator[tuple[float, str, Any]]:
    """Since when it runs (by the monotonic clock), where, and what."""
    place, began = PLACES[lane.pools], getattr(lane.places, "began", {})
    for key, task in lane.places.running.items():
        yield began[key], place, task


def _progress(said: Progress | None) -> dict[str, Any] | None:
    if said is None:
        return None
    return {"done": said.done, "total": said.total, "text": said.text, "fraction": said.fraction}


def _children(workers: Workers, busy: int) -> dict[str, int]:
    return {"busy": busy, "alive": len(workers.alive()), "total": workers.size}


def _none(command: str, arguments: dict[str, Any]) -> None:
    if arguments:
        names = ", ".join(sorted(arguments))
        raise MessageError("argument", fit(f"{command} takes none, and was given {names}")[:150])
