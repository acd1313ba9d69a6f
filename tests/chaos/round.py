"""One round: clients and faults at once, then heal, drain, stop, and judge."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.chaos import ledger, plan
from tests.chaos.checker import Evidence, Happened, Report, judge
from tests.chaos.clients import Clients, Pace
from tests.chaos.clock import Clock
from tests.chaos.daemons import Boot, Daemons
from tests.chaos.journals import SQLiteJournal, first_id
from tests.chaos.ledger import Start
from tests.chaos.nemesis import HOUR, Nemesis
from tests.chaos.options import Options
from tests.chaos.proxy import Proxy

# Seconds between two looks at what is unfinished.
LOOK = 0.05

# Violations of one kind that the results show.
EXAMPLES = 20


class Round:
    """Round `number` of the run, in a folder of its own."""

    def __init__(
        self, options: Options, number: int, journal: SQLiteJournal, folder: Path, clock: Clock
    ) -> None:
        self.options = options
        self.number = number
        self.journal = journal
        self.folder = folder
        self.seed = f"{options.seed}/{number}"
        self.tasks = plan.share(options.tasks, options.rounds, number)
        kills, others = (plan.share(n, options.rounds, number) for n in (options.kills, options.faults))
        faults = plan.faults(self.seed, options.database, kills, others, options.clients, options.only)
        faults += plan.child_faults(self.seed, plan.share(options.child_faults, options.rounds, number))
        self.faults = sorted(faults, key=lambda fault: fault.at)
        self.daemons = Daemons(journal, folder, options.slots, options.children, clock)
        self.incidents: list[str] = []

    def run(self) -> dict[str, Any]:
        """The result, as plain JSON. Nothing of it runs on when this ends, however it does."""
        self.folder.mkdir(parents=True)
        with contextlib.ExitStack() as stack:
            stack.callback(self.daemons.close)
            proxy = Proxy(self.journal.run / "node")
            stack.callback(proxy.close)
            children = bool(self.options.children)
            clients = Clients(self.journal, self.folder, proxy.port, self.seed, self._orders(), children)
            stack.callback(clients.close)
            threads = self.options.clients * self.options.threads
            pace = Pace(lambda: self.daemons.ledgers, clients.pace, self.tasks, threads)
            stack.callback(pace.end)
            nemesis = Nemesis(self.daemons, clients, proxy, pace, self.tasks)
            stack.callback(nemesis.close)
            since = first_id(time.time())
            began = time.monotonic()
            clients.start()
            self.daemons.start()
            self.daemons.wait_ready()
            pace.start()
            nemesis.run(self.faults)
            self._finish_calls(clients, pace)
            nemesis.heal()
            self._drain(pace)
            seconds = time.monotonic() - began
            self.daemons.stop()
            self.incidents += self.daemons.incidents + clients.incidents
            return self._judge(nemesis, clients, since, seconds)

    def drain_rest(self) -> None:
        """What an interrupted round has left behind is done first, so that it is not mistaken for ours."""
        if self.journal.unfinished():
            self.folder.mkdir(parents=True, exist_ok=True)
            with contextlib.closing(self.daemons):
                self.daemons.start()
                self.daemons.wait_ready()
                pace = Pace(list, _zeros(self.folder / "rest"), 1, 1)
                self._drain(pace)
                self.daemons.stop()

    def _orders(self) -> list[list[int]]:
        """Tasks of each thread of each client."""
        clients, threads = self.options.clients, self.options.threads
        parts = [plan.share(self.tasks, clients * threads, part) for part in range(clients * threads)]
        return [parts[first : first + threads] for first in range(0, clients * threads, threads)]

    def _finish_calls(self, clients: Clients, pace: Pace) -> None:
        """All clients have come to their end, or nothing moves any more."""
        while not clients.done():
            self.daemons.check()
            if time.monotonic() > pace.moved + self.options.patience:
                self.incidents.append(f"clients made no progress for {self.options.patience:g} s")
                return
            time.sleep(LOOK)

    def _drain(self, pace: Pace) -> None:
        """Until nothing is unfinished, or nothing moves for as long as the patience lasts."""
        left, moved = -1, time.monotonic()
        while unfinished := self.journal.unfinished():
            self.daemons.check()
            now = time.monotonic()
            if unfinished != left:
                left, moved = unfinished, now
            if now > max(moved, pace.moved) + self.options.patience:
                return
            if not self.journal.due_now(time.time() + 5):
                # A retry that was decided while the clock was an hour ahead: come to it.
                self.daemons.clock.set(HOUR + 60)
            time.sleep(LOOK)

    def _judge(self, nemesis: Nemesis, clients: Clients, since: str, seconds: float) -> dict[str, Any]:
        starts, ends = ledger.executions(self.daemons.ledgers)
        calls = ledger.calls(path for paths in clients.ledgers for path in paths)
        rows = self.journal.rows(since)
        places = self.options.slots + self.options.children
        report = judge(Evidence(calls, starts, ends, rows, nemesis.happened, places))
        if self.incidents:
            report.violations["incident"] = self.incidents
        planned = sum(fault.kind == "kill" for fault in self.faults)
        done = sum(fault.kind == "kill" for fault in nemesis.happened)
        if done != planned:
            report.violations["kills"] = [f"{done} of {planned} kills were done"]
        return result(self.number, report, nemesis, self.daemons.boots, starts, seconds)


def result(
    number: int, report: Report, nemesis: Nemesis, boots: list[Boot], starts: list[Start], seconds: float
) -> dict[str, Any]:
    """What is kept of a round."""
    return {
        "round": number,
        "valid": report.valid,
        "tasks": report.tasks,
        "accepted": report.accepted,
        "executed": report.executed,
        "kills": len(report.per_kill),
        "faults": Counter(fault.kind for fault in nemesis.happened),
        "skipped": Counter(nemesis.skipped),
        "lost": report.count("lost"),
        "unexpected": report.count("unexpected"),
        "stuck": report.count("stuck"),
        "duplicated": report.duplicated,
        "bound": report.bound,
        "per_kill": report.per_kill,
        "crashes": report.crashes,
        "recovered": report.recovered,
        "rolled_back": report.rolled_back,
        "refused": report.refused,
        "cut_off": report.cut_off,
        "violations": {
            name: {"count": len(items), "examples": items[:EXAMPLES]}
            for name, items in report.violations.items()
            if items
        },
        "seconds": round(seconds, 3),
        "timeline": [
            f"{fault.began - boots[0].executed:.2f}-{fault.ended - boots[0].executed:.2f} {fault.kind} {fault.boot}"
            for fault in nemesis.happened
        ],
        **_recovery(boots, nemesis.happened, starts),
    }


def _recovery(boots: list[Boot], happened: list[Happened], starts: list[Start]) -> dict[str, list[float]]:
    """Seconds from the exec of each daemon that followed another: to its ready line, to its first task."""
    first: dict[str, float] = {}
    for start in starts:
        first[start.boot] = min(start.moment, first.get(start.boot, start.moment))
    again = boots[1:]
    return {
        "ready": [round(boot.ready - boot.executed, 3) for boot in again if boot.ready is not None],
        "first_start": [round(first[boot.name] - boot.executed, 3) for boot in again if boot.name in first],
    }


def _zeros(path: Path) -> Path:
    path.write_bytes(bytes(8))
    return path
