"""What a node with --http has: the socket, the pages, what is counted for them; and how it starts."""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

from django_ztask.conf import conf
from ztaskd import events
from ztaskd.http.address import Address
from ztaskd.http.health import Health
from ztaskd.http.lag import Lag
from ztaskd.http.listener import Listener
from ztaskd.http.pages import Pages
from ztaskd.http.server import Server
from ztaskd.storage import storage_for

if TYPE_CHECKING:
    from ztaskd.http.metrics import Metrics
    from ztaskd.node import Node


class Http:
    """`told`: the address was given on the command line. `waits`: for the port, which is a predecessor's: no start
    fails for it once we have served."""

    def __init__(self, address: Address, told: bool, waits: bool) -> None:
        self.listener = Listener(address, told)
        self._waits = waits

    def bind(self) -> None:
        """Takes the port, unless it is to be waited for. Raises Refusal."""
        if not self._waits:
            self.listener.bind()

    def start(self, node: Node) -> None:
        """On the hub, before the first task."""
        lag = Lag()
        health = Health(node, lag)
        metrics = _metrics(node, health)
        server = Server(Pages(health, metrics.text if metrics is not None else None).answer)
        node.services.start("lag", lag.serve)
        node.services.start("http", partial(self._serve, server, metrics is not None))

    def _serve(self, server: Server, with_metrics: bool) -> None:
        """A service greenlet: when it ends, the port is free."""
        try:
            listener = self.listener.wait()
            text = f"http://{self.listener.bound()} serves /livez, /readyz and /metrics"
            if not with_metrics:
                text += " (which says 501: it needs pip install 'ztaskd[metrics]')"
            events.emit("note", text=text)
            server.serve(listener)
        finally:
            self.listener.close()


def _metrics(node: Node, health: Health) -> Metrics | None:
    """None without the extra: then nothing is counted either."""
    if find_spec("prometheus_client") is None:
        return None
    from ztaskd.http.counts import Counts
    from ztaskd.http.depth import Depth
    from ztaskd.http.metrics import Metrics

    counts = Counts()
    events.subscribe(counts.hear)
    node.committer.measure(counts.committed)
    return Metrics(node, counts, Depth(storage_for(conf.database)), health)
