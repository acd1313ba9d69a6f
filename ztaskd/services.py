"""The node's service greenlets: a death is noticed, logged, and mended or taken as the end of the node."""

from __future__ import annotations

import time
from collections.abc import Callable

import gevent
from gevent import GreenletExit

from ztaskd import events

# A service that dies this often within so many seconds is not to be mended: the node exits 1, and its
# supervisor starts it anew.
DEATHS, WITHIN = 3, 60.0

PAUSE = 0.2  # seconds before a dead service starts again


class Services:
    """Greenlets by name. `lost(name, error)` is called for one that cannot be mended."""

    def __init__(self, lost: Callable[[str, BaseException], None]) -> None:
        self.lost = lost
        self._greenlets: dict[str, gevent.Greenlet] = {}
        self._deaths: dict[str, list[float]] = {}
        self._ended: set[str] = set()
        self.stopping = False

    def start(self, name: str, serve: Callable[[], None], mend: bool = True) -> None:
        if self.stopping or name in self._ended:
            return
        greenlet = gevent.Greenlet(serve)
        greenlet.link_exception(lambda dead: self._died(name, serve, mend, dead.exception or GreenletExit()))
        self._greenlets[name] = greenlet
        greenlet.start()

    def end(self, name: str) -> None:
        """Ends one of them, if it runs; it does not come back (a dead one that is being mended does not, either)."""
        self._ended.add(name)
        greenlet = self._greenlets.pop(name, None)
        if greenlet is not None:
            greenlet.kill()

    def runs(self, name: str) -> bool:
        """Whether it has been started, and lives."""
        return name in self._greenlets and not self._greenlets[name].dead

    def stop(self) -> None:
        """Ends all of them. Twice is fine."""
        self.stopping = True
        gevent.killall(list(self._greenlets.values()))

    def _died(self, name: str, serve: Callable[[], None], mend: bool, error: BaseException) -> None:
        if self.stopping:
            return
        now = time.monotonic()
        deaths = [then for then in self._deaths.get(name, []) if then > now - WITHIN] + [now]
        self._deaths[name] = deaths
        mend = mend and len(deaths) < DEATHS
        events.emit("service_died", name=name, error=error, mended=mend)
        if mend:
            gevent.spawn_later(PAUSE, self.start, name, serve)
        else:
            self.lost(name, error)


def every(seconds: float, job: Callable[[], None]) -> Callable[[], None]:
    """A service that does `job` again and again, `seconds` apart."""

    def serve() -> None:
        while True:
            gevent.sleep(seconds)
            job()

    return serve
