"""Is the node alive, and does it serve? Read from what its parts know already: nothing is asked, nothing waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ztaskd.housekeeping import DISK
from ztaskd.http.lag import WINDOW, Lag

if TYPE_CHECKING:
    from ztaskd.node import Node

# Seconds of the hub's lag that are as good as death: as long as liveness probes are commonly patient (three, ten
# seconds apart). Who is merely busy must not be killed for it, and whoever answers is alive: so this is only for a
# hub that turns between two blockings, and answers then.
DEAD = 30.0

# Seconds for which the database may owe an answer. (It is called degraded later: there it is about an error.)
SILENT = 2.0


class Health:
    """Of one node."""

    def __init__(self, node: Node, lag: Lag) -> None:
        self._node = node
        self.lag = lag

    def troubles_of_hub(self) -> list[str]:
        """None: it is alive."""
        worst = self.lag.worst()
        if worst <= DEAD:
            return []
        return [f"the hub did not turn for {worst:.1f} s, within the last {WINDOW:g} s"]

    def troubles(self) -> list[str]:
        """Why the node does not serve: one line for each reason. None: it does."""
        node, found = self._node, []
        if node.dispatcher.draining:
            found.append("draining: the node stops, or new code takes over")
        elif not node.services.runs("intake"):
            found.append("the address is not served: the node starts, or this service has died")
        if node.committer.degraded():
            found.append("the journal cannot be written")
        elif (seconds := node.committer.silence()) > SILENT:
            found.append(f"the journal has not answered for {seconds:.0f} s")
        if DISK in node.dispatcher.paused:  # (what an operator has paused is as it should be)
            found.append(f"paused: no more tasks are started ({DISK})")
        return found
