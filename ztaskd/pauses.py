"""What the node makes of paused queues: it looks in the journal what is paused, holds back what has not started, and
brings back, in batches, what is aside without a pause.

A message only says "look", so none is believed, and a lost one costs a round.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import gevent
from gevent.event import Event

from django_ztask import pauses
from django_ztask.pauses import EVERYTHING, Pause
from ztaskd import events
from ztaskd.aside import Seen
from ztaskd.committer import Committer
from ztaskd.dispatch import Dispatcher
from ztaskd.storage import TROUBLE

# Seconds between two looks when no message asks for one: what a lost message costs.
ROUND = 2.0

# Rows that are brought back in one transaction; and how much longer than that took the next one is put off.
BATCH, REST = 500, 1.0

# Why the dispatcher claims nothing.
PAUSED = "everything is paused"


class Pauses:
    """`serve` and `bring_back` are service greenlets. On the hub's thread, all of it."""

    def __init__(self, committer: Committer, dispatcher: Dispatcher, boot: str) -> None:
        self.committer = committer
        self.dispatcher = dispatcher
        self.boot = boot
        self.known: dict[int, Pause] = {}
        self._asked = Event()
        self._strays = Event()

    def start(self) -> None:
        """Before anything is claimed. Raises what the database raises."""
        self._learn(self.committer.look_at_pauses(()))
        for pause in self.known.values():
            text = f"{pause.what} is paused {pause.since_whom}: its tasks wait; to go on: {pause.again}"
            events.emit("warning", text=text)

    def asked(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """A control message. Its answer is what is known now: of that, nothing starts here any more. Who has not found
        there what he looks for asks again, in a moment."""
        self._asked.set()
        return {"boot": self.boot, "pauses": sorted(self.known)}

    def serve(self) -> None:
        while True:
            self._asked.wait(ROUND)
            self._asked.clear()
            with suppress(*TROUBLE):  # the committer says so; the next round is soon
                self._look()

    def bring_back(self) -> None:
        while True:
            self._strays.wait()
            self._strays.clear()
            with suppress(*TROUBLE):
                self._bring_back()

    def _look(self) -> None:
        before = self.known
        seen = self.committer.look_at_pauses(frozenset(before))
        if seen.strays or {pause.number for pause in seen.pauses} != set(before):
            self._learn(seen)
        for number, pause in self.known.items():
            if number not in before:
                text = f"{pause.what} is paused {pause.since_whom}: its tasks wait, what runs goes on"
                events.emit("note", text=text)
        for number, pause in before.items():
            if number not in self.known:
                events.emit("note", text=f"{pause.what} goes on: it was resumed")

    def _learn(self, seen: Seen) -> None:
        held = 0
        if any(pause.queue == EVERYTHING for pause in seen.pauses):
            self.dispatcher.paused.add(PAUSED)
            held = self.dispatcher.hold(None)
        elif PAUSED in self.dispatcher.paused:
            self.dispatcher.go_on(PAUSED)
        if seen.claimed:
            held += self.dispatcher.hold(seen.claimed)
        if held:  # (what is told to whoever paused them is that they wait: behind their ends)
            self.committer.call(lambda connection: None, reads=True)
        self.known = {pause.number: pause for pause in seen.pauses}
        if seen.strays:
            self._strays.set()
        self.dispatcher.look(anyway=True)

    def _bring_back(self) -> None:
        verb: Callable[[Any], int] = functools.partial(pauses.bring_back, limit=BATCH)
        while True:
            began = time.monotonic()
            brought = self.committer.call(verb)
            self.dispatcher.look(anyway=True)
            if not brought:
                return
            gevent.sleep((time.monotonic() - began) * REST)
