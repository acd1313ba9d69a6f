"""Does the faults of a plan to a round that is running, and writes down when."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

from tests.chaos.checker import Happened
from tests.chaos.clients import Clients, Pace
from tests.chaos.daemons import Daemons
from tests.chaos.plan import Fault
from tests.chaos.proxy import Proxy

# Seconds between two looks at the progress, and those without any after which the next fault comes anyway
# (when the clients are done).
LOOK, IDLE = 0.01, 1.0

HOUR = 3600

# A process of its own that holds SQLite's lock.
LOCK = """
import sqlite3, sys, time
journal = sqlite3.connect(sys.argv[1], timeout=20, isolation_level=None)
journal.execute("BEGIN IMMEDIATE")
time.sleep(float(sys.argv[2]))
journal.execute("ROLLBACK")
"""


class Nemesis:
    """`happened`: what was done. `skipped`: what could not be."""

    def __init__(self, daemons: Daemons, clients: Clients, proxy: Proxy, pace: Pace, tasks: int) -> None:
        self.daemons = daemons
        self.clients = clients
        self.proxy = proxy
        self.pace = pace
        self.tasks = tasks
        self.happened: list[Happened] = []
        self.skipped: list[str] = []
        self._background: list[threading.Thread | subprocess.Popen[bytes]] = []

    def run(self, plan: list[Fault]) -> None:
        for fault in plan:
            self._wait(fault)
            self.daemons.check()
            if not fault.hurry:
                self.daemons.wait_ready()
            self._do(fault)
        self.daemons.wait_ready()

    def heal(self) -> None:
        """Waits until what runs in the background is over."""
        for each in self._background:
            if isinstance(each, threading.Thread):
                each.join()
            elif each.wait(60):
                raise RuntimeError("the process that was to hold SQLite's lock failed")

    def close(self) -> None:
        for each in self._background:
            if isinstance(each, threading.Thread):
                each.join()
            elif each.poll() is None:
                each.kill()
                each.wait()

    def _wait(self, fault: Fault) -> None:
        if fault.hurry:
            time.sleep(fault.seconds)
            return
        while self.pace.starts < fault.at * self.tasks:
            if time.monotonic() > self.pace.moved + IDLE and self.clients.done():
                return
            self.daemons.check()
            time.sleep(LOOK)

    def _do(self, fault: Fault) -> None:
        boot, began = self.daemons.name, time.monotonic()
        work: Callable[[Fault], bool | None] = getattr(self, f"_{fault.kind.replace('-', '_')}")
        if work(fault) is False:
            self.skipped.append(fault.kind)
        else:
            self.happened.append(Happened(fault.kind, boot, began, time.monotonic()))

    # -- the faults: False when one could not be done -----------------------------------------------

    def _kill(self, fault: Fault) -> None:
        self.daemons.kill()

    def _term(self, fault: Fault) -> None:
        self.daemons.stop()
        self.daemons.start()

    def _stop(self, fault: Fault) -> None:
        self.daemons.freeze(fault.seconds)

    def _client(self, fault: Fault) -> bool:
        return self.clients.kill(fault.which)

    def _child_kill(self, fault: Fault) -> bool:
        return self._signal_child(fault, signal.SIGKILL)

    def _child_segv(self, fault: Fault) -> bool:
        return self._signal_child(fault, signal.SIGSEGV)

    def _child_term(self, fault: Fault) -> bool:
        return self._signal_child(fault, signal.SIGTERM)

    def _child_stop(self, fault: Fault) -> bool:
        """It stands still for a while; then it goes on, or is killed."""
        return self._signal_child(fault, signal.SIGCONT if fault.which % 2 else signal.SIGKILL)

    def _signal_child(self, fault: Fault, number: int) -> bool:
        victim = self.daemons.choose_child(fault.which // 2)
        if victim is None:
            return False

        def let_go() -> None:
            victim.signal(number)
            victim.signal(signal.SIGCONT)
            victim.close()

        self._later(fault.seconds, let_go)
        return True

    def _lock(self, fault: Fault) -> None:
        command = [sys.executable, "-S", "-c", LOCK, str(self.daemons.journal.database), str(fault.seconds)]
        self._background.append(subprocess.Popen(command, start_new_session=True))

    def _fast(self, fault: Fault) -> None:
        self.daemons.journal.made.server.restart("fast")  # type: ignore[attr-defined]

    def _immediate(self, fault: Fault) -> None:
        self.daemons.journal.made.server.restart("immediate")  # type: ignore[attr-defined]

    def _terminate(self, fault: Fault) -> None:
        self.daemons.journal.made.disconnect_all()  # type: ignore[attr-defined]

    def _cut(self, fault: Fault) -> None:
        self.proxy.cut()

    def _blackhole(self, fault: Fault) -> None:
        """Nothing passes; then the connections end, and what was held is gone."""
        self.proxy.hold()
        self._later(fault.seconds, self.proxy.cut, self.proxy.go_on)

    def _late(self, fault: Fault) -> None:
        """Nothing passes; then all of it arrives."""
        self.proxy.hold()
        self._later(fault.seconds, self.proxy.go_on)

    def _later(self, seconds: float, *ends: Callable[[], None]) -> None:
        """Other faults may come meanwhile."""

        def wait() -> None:
            time.sleep(seconds)
            for end in ends:
                end()

        thread = threading.Thread(target=wait)
        thread.start()
        self._background.append(thread)

    def _clock(self, fault: Fault) -> None:
        """One hour ahead or back, and then right again."""
        self.daemons.clock.set(HOUR if fault.which % 2 else -HOUR)
        self._later(fault.seconds, lambda: self.daemons.clock.set(0))
