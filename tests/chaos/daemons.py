"""The daemon of a round, boot after boot, and what is known of each boot."""

from __future__ import annotations

import contextlib
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from tests.acceptance.daemon import MANAGE, ROOT, Daemon, wait_for
from tests.chaos import victims
from tests.chaos.clock import Clock
from tests.chaos.journals import SQLiteJournal

READY = " ready in "

# Characters of a log in which that line must stand. (What is recovered may run before it.)
BEGINNING = 500_000

# Seconds that a boot may take; far more than it needs.
PATIENCE = 60.0

# Seconds that children may take to follow a daemon that was killed; the kernel does it at once.
ORPHANED = 10.0


@dataclass(slots=True)
class Boot:
    """One boot; moments are on the monotonic clock. ready: None when it was killed before."""

    name: str
    executed: float
    ready: float | None = None


class Daemons:
    """One daemon at a time. `boots` tells of all; `incidents` of those that ended as they should not."""

    def __init__(self, journal: SQLiteJournal, folder: Path, slots: int, children: int, clock: Clock) -> None:
        self.journal = journal
        self.folder = folder
        self.slots = slots
        self.children = children
        self.clock = clock
        self.boots: list[Boot] = []
        self.incidents: list[str] = []
        self.current: Daemon | None = None

    @property
    def name(self) -> str:
        return self.boots[-1].name

    @property
    def ledgers(self) -> list[Path]:
        """Of the daemons and of their children."""
        return [path for boot in self.boots for path in self.folder.glob(f"{boot.name}.tasks.*")]

    def start(self) -> None:
        name = f"daemon-{len(self.boots)}"
        log = self.folder / f"{name}.log"
        env = self.journal.env(
            CHAOS_BOOT=name,
            CHAOS_LEDGER=str(self.folder / f"{name}.tasks"),
            **self.clock.env,
        )
        command = [*MANAGE, "--noreload", "-f", str(log), "-c", str(self.slots)]
        command += ["--worker-pool-size", str(self.children)] if self.children else []
        self.boots.append(Boot(name, time.monotonic()))
        self.current = Daemon(command, env, ROOT, self.folder / f"{name}.out", log)

    def wait_ready(self) -> None:
        """Until this boot serves, or has ended."""
        daemon, boot = self._running(), self.boots[-1]
        if boot.ready is not None:
            return
        wait_for(lambda: self._notice(daemon, boot) or daemon.process.poll() is not None, "a boot", PATIENCE)
        self._notice(daemon, boot)

    def kill(self) -> None:
        """kill -9, and the next boot at once. Its children, which no signal of ours has met, must be gone too."""
        daemon = self._running()
        left = victims.children(daemon.pid)
        daemon.kill9()
        self.start()
        with contextlib.suppress(AssertionError):
            wait_for(lambda: not any(map(victims.is_alive, left)), "its children's end", ORPHANED)
        if orphans := [pid for pid in left if victims.is_alive(pid)]:
            self.incidents.append(f"children of {self.boots[-2].name} outlived it: {orphans}")

    def stop(self) -> None:
        """TERM; it must end with code 0."""
        daemon = self._running()
        code = daemon.stop(seconds=PATIENCE)
        if code != 0:
            self.incidents.append(f"{self.name} ended with code {code} when it was asked to stop")
        self.current = None

    def freeze(self, seconds: float) -> None:
        daemon = self._running()
        daemon.signal(signal.SIGSTOP)
        time.sleep(seconds)
        daemon.signal(signal.SIGCONT)

    def choose_child(self, which: int) -> victims.Victim | None:
        return victims.choose(self._running().pid, lambda: self.ledgers, which)

    def check(self) -> None:
        """Often: notices when this boot is ready. A daemon that ended by itself is an incident; another one
        takes its place."""
        daemon = self._running()
        self._notice(daemon, self.boots[-1])
        code = daemon.process.poll()
        if code is not None:
            said = (daemon.text + daemon.log)[-500:]
            self.incidents.append(f"{self.name} ended by itself with code {code}: {said}")
            self.start()

    def close(self) -> None:
        if self.current is not None:
            self.current.kill9()

    def _running(self) -> Daemon:
        assert self.current is not None
        return self.current

    @staticmethod
    def _notice(daemon: Daemon, boot: Boot) -> bool:
        if boot.ready is None and daemon.path.exists():
            with daemon.path.open(errors="replace") as log:
                if READY in log.read(BEGINNING):
                    boot.ready = time.monotonic()
        return boot.ready is not None
