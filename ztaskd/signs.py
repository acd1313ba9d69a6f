"""The node's signs of life for systemd: a greenlet on the hub, so that a hub which stands still gives none, and is
killed and started again. And in a word what it does.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import gevent

from ztaskd.again import program
from ztaskd.notify import manager

if TYPE_CHECKING:
    from ztaskd.node import Node

# Seconds between two looks at what runs.
LOOK = 5.0

# When there was no room for a sign: it is given again after this part of the time that is left.
AGAIN = 0.1

# Seconds that a stop takes beyond the grace: interruptions, the last outcomes, the project's atexit functions.
BEYOND = 15.0


class Signs:
    """`serve` is a service greenlet, also while the node drains."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self._serves = self._stops = False
        self._said = ""

    def serve(self) -> None:
        every = min(LOOK, manager.watchdog / 2 if manager.watchdog else LOOK)
        looked = time.monotonic()
        while True:
            pause = every if manager.alive() else every * AGAIN
            if time.monotonic() >= looked + LOOK:
                looked = time.monotonic()
                self._look()
            gevent.sleep(pause)

    def ready(self) -> None:
        self._serves, self._said = True, self._status()
        manager.ready(self._said)

    def drain(self, grace: float) -> None:
        """It finishes what runs, for up to `grace` seconds; then it is gone, or (HUP) begins anew."""
        self._serves = False
        if program.starts_anew():
            manager.more_time(grace + BEYOND, f"reloading, {self._status()}")
        else:
            self._stops = True
            manager.stopping(grace + BEYOND, f"stopping, {self._status()}")

    def _look(self) -> None:
        status = self._status()
        if program.wanted and program.stopped and not self._stops:  # (a stop came while HUP waited for tasks)
            self.drain(self.node.grace)
        elif not self._serves and not self.node.dispatcher.draining:
            manager.booting("taking stock")  # (a large --replayfailed)
        elif self._serves and status != self._said:
            self._said = status
            manager.status(status)

    def _status(self) -> str:
        running = len(self.node.dispatcher.running())
        return f"{running} task(s) run, node {self.node.lease.name} at {self.node.lease.url}"
