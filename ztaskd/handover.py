"""The node's side of a reload: it says that it serves, hears that new code is ready to take over, and lets go."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress

import gevent

from ztaskd.again import program
from ztaskd.committer import Committer
from ztaskd.housekeeping import Housekeeping
from ztaskd.reload.link import Link
from ztaskd.reload.protocol import HAND_OVER
from ztaskd.services import Services
from ztaskd.storage import TROUBLE

# Seconds in which what has not started is handed back, twice; after them the next one takes over all the same. (The
# parent waits a little longer than that, LET_GO in reload/reloader.py.)
HANDED_BACK = 0.7

# What two nodes need not do beside each other, and may be ended at any moment.
NEXT_ONES = ("unknown", "disk")


class Handover:
    """`grace`: seconds for what still runs afterwards. `let_go`: gives the node's lock away."""

    def __init__(self, link: Link, grace: float, let_go: Callable[[], None]) -> None:
        self.grace = grace
        self.asked = False
        self.parent = link.parent
        self._link = link
        self._let_go = let_go

    def serve(self, stop: Callable[[], None]) -> None:
        """A service greenlet."""
        self._link.serving()
        while (word := self._link.hear()) is not None:
            if word == HAND_OVER and not program.stopped:  # (what stops lets go of everything at its end)
                self.asked = True
                stop()

    def renew(self) -> None:
        """HUP came here (ours is the process id in the log): the parent knows what to do."""
        os.kill(self._link.parent, signal.SIGHUP)

    def stopping(self) -> None:
        """The node drains, and nobody is to take over: the parent must know, or the next edit would undo it."""
        self._link.stopping()

    def pass_on(self, committer: Committer, services: Services, housekeeping: Housekeeping) -> None:
        """The node takes no more, and its address is free already. Twice: what was being claimed just now comes with
        the first answer, and goes back with the second."""
        housekeeping.passed_on = True
        for name in NEXT_ONES:
            services.end(name)
        for _ in range(2):
            with suppress(gevent.Timeout, *TROUBLE):  # what comes too late is found by a sweep
                committer.call(_nothing, timeout=HANDED_BACK)
        services.end("http")  # (last: whoever probes finds a door, but for a moment)
        self._let_go()
        self._link.released()


def _nothing(connection: object) -> None:
    """Its answer comes after what was asked for before."""
