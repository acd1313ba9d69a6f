"""How a node stops: it takes no more, waits for what runs, interrupts what is left, and writes everything down."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import gevent

from ztaskd import events
from ztaskd.again import program
from ztaskd.cli import Exit
from ztaskd.storage import TROUBLE

if TYPE_CHECKING:
    from ztaskd.handover import Handover
    from ztaskd.node import Node

# Seconds that an interrupted task has for its own cleaning up.
INTERRUPTED = 2.0

# Seconds in which the last outcomes must be written; what is not stays claimed, and is recovered.
FLUSH = 5.0

# Seconds for the end of the coroutines' event loop.
LOOP = 0.5


class Stopping:
    """The end of a node that has served."""

    def __init__(self, node: Node) -> None:
        self.node = node

    def drain(self) -> None:
        """Takes no more, waits for what runs, interrupts what is left, writes everything down."""
        self.node.services.end("intake")
        self.node.intake.close()
        self.node.dispatcher.drain()
        grace, what, hint = self.node.grace, "stopping", " (a second signal stops at once)"
        if (handover := self._replaced()) is not None:
            grace, what, hint = handover.grace, "the new code takes over", " for them"
            handover.pass_on(self.node.committer, self.node.services, self.node.housekeeping)
        elif self.node.handover is not None and self.node.code is Exit.CLEAN:
            self.node.handover.stopping()
        grace = grace if self.node.code is Exit.CLEAN else 0
        if handover is None:
            self.node.signs.drain(grace)
        running = self.node.dispatcher.running()
        if running:
            text = f"{what}: {len(running)} task(s) run, waiting up to {grace:g} s{hint}"
            events.emit("note", text=text)
        goes_on = False
        if not self.node.dispatcher.drained.wait(grace):
            self.node.dispatcher.interrupt()
            goes_on = not self.node.dispatcher.drained.wait(INTERRUPTED)
        self._end(goes_on)

    def _end(self, goes_on: bool) -> None:
        """The last outcomes are written. With tasks that go on, or outcomes that could not be written, the
        process ends here and now: its locks are free when it is gone, and not before."""
        self.node.dispatcher.attempts.coroutines.stop(LOOP)
        deadline = time.monotonic() + FLUSH
        if (
            goes_on
        ):  # (after all that waits, since another node starts them at once; while our row says that we live)
            self.node.dispatcher.give_up()
        try:
            self.node.committer.call(self.node.lease.remove, timeout=FLUSH)
        except (gevent.Timeout, *TROUBLE):
            pass  # the journal cannot be written: our locks are free soon, which says the same
        self.node.services.stop()
        self.node.workers.stop()
        self.node.suspects.stop()
        written = self.node.committer.stop(max(0.1, deadline - time.monotonic()))
        if written:
            events.emit("note", text=self._last_words())
        else:
            events.emit(
                "warning", text="stopped; outcomes that could not be written are recovered at the next start"
            )
        if goes_on or not written:
            program.leave(self.node.code)

    def _replaced(self) -> Handover | None:
        """By new code, if that is why it ends."""
        return self.node.handover if self.node.handover is not None and self.node.handover.asked else None

    def _last_words(self) -> str:
        if self.node.code is not Exit.CLEAN:
            return "stopped after an error"
        return "stopped" if self._replaced() is None else f"the old code has finished (pid {os.getpid()})"
