"""The client processes of a round: each may be killed, and is followed by one that does the rest."""

from __future__ import annotations

import json
import mmap
import struct
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.acceptance.daemon import ROOT, Program
from tests.chaos.journals import SQLiteJournal

# Accepted tasks that may wait for the daemon, of all clients together: a tenth of the round's, within these
# bounds. That is some work for it, and clients are still there when the last faults come.
WINDOW = (200, 4000)

# Seconds between two looks at what was done, and those without progress after which clients get more room:
# what failed or was rolled back never runs.
LOOK, IDLE = 0.02, 0.5


class Clients:
    """`orders`: for each client, the numbers of tasks of its threads. `children`: some are for child processes."""

    def __init__(
        self,
        journal: SQLiteJournal,
        folder: Path,
        port: int,
        seed: str,
        orders: list[list[int]],
        children: bool,
    ) -> None:
        self.journal = journal
        self.folder = folder
        self.port = port
        self.seed = seed
        self.orders = orders
        self.children = children
        self.ledgers: list[list[Path]] = [[] for _ in orders]
        self.programs: list[Program] = []
        self.incidents: list[str] = []
        self.pace = folder / "pace"
        self.pace.write_bytes(bytes(8))

    def start(self) -> None:
        self.programs = [self._start(number) for number in range(len(self.orders))]

    def _start(self, number: int) -> Program:
        before = self.ledgers[number]
        name = f"client-{number}-{len(before)}"
        order = {
            "seed": self.seed,
            "client": number,
            "tasks": self.orders[number],
            "children": self.children,
            "ledger": str(self.folder / f"{name}.calls"),
            "before": [str(path) for path in before],
            "pace": str(self.pace),
        }
        before.append(Path(str(order["ledger"])))
        env = self.journal.client_env(self.port, CHAOS_ORDER=json.dumps(order))
        return Program([sys.executable, "-m", "tests.chaos.client"], env, ROOT, self.folder / f"{name}.out")

    def kill(self, which: int) -> bool:
        """kill -9 of one that is not done yet, if there is any; another takes over."""
        alive = [n for n, program in enumerate(self.programs) if program.process.poll() is None]
        if not alive:
            return False
        number = alive[which % len(alive)]
        self.programs[number].kill9()
        self.programs[number] = self._start(number)
        return True

    def done(self) -> bool:
        """Whether all have come to their end. One that ended otherwise is an incident, and is replaced."""
        codes = [program.process.poll() for program in self.programs]
        for number, code in enumerate(codes):
            if code:
                said = self.programs[number].text[-500:]
                self.incidents.append(f"client {number} ended by itself with code {code}: {said}")
                self.programs[number] = self._start(number)
        return all(code == 0 for code in codes)

    def close(self) -> None:
        for program in self.programs:
            program.kill9()


class Pace(threading.Thread):
    """Counts the starts in the tasks' ledgers as they are written, and lets the clients go on by them."""

    def __init__(self, ledgers: Callable[[], list[Path]], file: Path, tasks: int, threads: int) -> None:
        super().__init__(daemon=True)
        self.starts = 0
        self.moved = self._nudged = time.monotonic()  # when the last start was seen
        self._ledgers = ledgers
        self._threads = threads
        self._window = max(WINDOW[0], min(tasks // 10, WINDOW[1])) // threads
        self._read: dict[Path, int] = {}
        self._ended = threading.Event()
        with file.open("r+b") as opened:
            self._memory = mmap.mmap(opened.fileno(), 8)

    def run(self) -> None:
        while not self._ended.wait(LOOK):
            found = sum(self._news(path) for path in self._ledgers())
            now = time.monotonic()
            if found:
                self.starts += found
                self.moved = now
            elif now > max(self.moved, self._nudged) + IDLE:
                self._window += WINDOW[0] // self._threads
                self._nudged = now
            self._memory[:8] = struct.pack("<q", self.starts // self._threads + self._window)

    def _news(self, path: Path) -> int:
        """Starts since the last look. (A line that is just being written may be missed: this is no verdict.)"""
        try:
            with path.open("rb") as file:
                file.seek(self._read.get(path, 0))
                data = file.read()
                self._read[path] = file.tell()
        except FileNotFoundError:
            return 0
        return data.count(b"S ")

    def end(self) -> None:
        self._ended.set()
        self.join()
