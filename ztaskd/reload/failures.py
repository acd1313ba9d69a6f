"""Daemons that do not come up, or do not go on: what is said about it, and when to try again what no edit mends."""

from __future__ import annotations

import time

from ztaskd.cli import Exit
from ztaskd.reload import say
from ztaskd.reload.child import Child, Phase

# Seconds before a start is tried again that no edit mends, doubled each time; what serves so long may crash anew.
PAUSE, PAUSE_MOST, SOUND = 0.5, 30.0, 10.0

# Exit codes of what may be over in a moment, whatever the code says.
PASSING = (Exit.ADDRESS_IN_USE, Exit.DATABASE)


class Failures:
    """`retry`: when to try again, by the monotonic clock; None: after the next edit."""

    def __init__(self) -> None:
        self.retry: float | None = None
        self._pause = PAUSE
        self._said = ""

    def forget(self) -> None:
        """There is other code."""
        self.retry, self._said = None, ""

    def try_later(self) -> None:
        self.retry = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, PAUSE_MOST)

    def not_come_up(self, child: Child, is_served: bool) -> None:
        """Says why, once for all tries that an edit brings about, and when it is tried again."""
        code = child.refusal["code"] if child.refusal else Exit.CRASH
        killed = child.code is not None and child.code < 0
        passes = code in PASSING or killed or child.phase is Phase.TAKING_OVER
        if reason(child) != self._said:
            self._said = reason(child)
            goes_on = "the old code goes on" if is_served else "nothing is served"
            then = "it is tried again, and after the next edit" if passes else "waiting for an edit"
            say.logger.error("the new code does not come up, %s; %s: %s", goes_on, then, self._said)
        if passes:
            self.try_later()

    def not_gone_on(self, child: Child) -> None:
        """It had served."""
        if child.phase is not Phase.DISCARDED:
            text = "the daemon (pid %d) is gone, and is started again: %s"
            say.logger.error(text, child.pid, reason(child))
        if child.served is not None and time.monotonic() - child.served > SOUND:
            self._pause = PAUSE


def reason(child: Child) -> str:
    """In its own words, if it had the time."""
    return child.refusal["reason"] if child.refusal else child.end()


def ends_the_start(child: Child) -> int | None:
    """The exit code, when a first start has failed for what neither an edit nor patience mends."""
    refusal = child.refusal
    if refusal is not None and (refusal["final"] or refusal["code"] in PASSING):
        return int(refusal["code"])
    return None
