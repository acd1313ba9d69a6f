"""A storm: code is edited, broken, repaired, replaced and checked out while tasks come at a steady pace, and what the
ledger and the journal say of it afterwards.
"""

from __future__ import annotations

import random
import socket
import subprocess
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.acceptance.daemon import Program, wait_for
from tests.acceptance.edited import TASKS, Edited

RATE = 200  # tasks a second
LONG, CHILD = 100, 40  # every so manieth task takes 3 s, or runs in a child process
GRACE = 2.0  # seconds: less than a long task needs, so that some are interrupted

# Seconds between two saves, and for which broken code stays.
BETWEEN, BROKEN = (0.2, 2.5), (1.0, 3.0)

# How often the next save waits for a take-over, and for how many seconds at most.
CALM, SERVED = 0.7, 10.0

# A probe of the address every so many seconds.
PROBE = 0.002

CALLER = f"""
from edited.tasks import *
began, number, longest, errors, ids = time.monotonic(), 0, 0.0, [], []
while number < {{seconds}} * {RATE}:
    time.sleep(max(0.0, began + number / {RATE} - time.monotonic()))
    before = time.monotonic()
    try:
        if number % {LONG} == 7:
            handle = work.async_(number, 3.0)
        elif number % {CHILD} == 3:
            handle = crunch.async_(number)
        else:
            handle = work.async_(number)
        ids.append(handle.id)
    except Exception as error:
        errors.append(repr(error))
    longest = max(longest, time.monotonic() - before)
    number += 1
show([longest, errors, ids])
"""

MORE = """
@task(pool="process", retry_after=0.05)
def crunch(number):
    work.function(number)
"""


@dataclass
class Storm:
    """`run` blows for so many seconds. `broken`: from when to when the code was."""

    edited: Edited
    seed: int
    saves: int = 0
    broken: list[tuple[float, float]] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    last: float = 0.0  # when the last code was saved

    def prepare(self) -> None:
        """Two branches of a repository, and a daemon."""
        self.random = random.Random(self.seed)
        for branch in ("one", "two"):
            self.write(f"branch-{branch}")
            if branch == "one":
                self.git("init", "-q", "-b", "one")
                self.git("add", ".")
            else:
                self.git("checkout", "-q", "-b", branch)
            self.git("commit", "-q", "-a", "-m", branch)
        self.edited.start("--reload-grace", f"{GRACE:g}")

    def run(self, seconds: float) -> Program:
        """Returns the caller, which goes on for a little longer."""
        caller = self.edited.spawn(CALLER.format(seconds=seconds))
        until = time.monotonic() + seconds
        ways = [self.edit, self.replace, self.checkout, self.repair, self.burst]
        while time.monotonic() < until:
            way = self.random.choice(ways)
            way()
            self.done[way.__name__] += 1
            if self.random.random() < CALM:
                self.wait_served()
            time.sleep(self.random.uniform(*BETWEEN))
        self.write("last")
        self.last = time.time()
        return caller

    def wait_served(self) -> None:
        """Until there is a take-over, for a while. (The code may be what it was.)"""
        before, deadline = self.reloads(), time.monotonic() + SERVED
        while self.reloads() == before and time.monotonic() < deadline:
            time.sleep(0.02)

    def reloads(self) -> int:
        return self.edited.daemon.log.count("reloaded in ")

    # -- what is done to the code -------------------------------------------------------------------

    def text(self, version: str) -> str:
        return TASKS.format(version=version, on_load="pass") + MORE

    def write(self, version: str) -> None:
        self.edited.save(self.edited.tasks, self.text(version))

    def edit(self) -> None:
        """In place."""
        self.saves += 1
        self.edited.tasks.write_text(self.text(f"edit-{self.saves}"))

    def replace(self) -> None:
        self.saves += 1
        self.write(f"replace-{self.saves}")

    def burst(self) -> None:
        for _ in range(30):
            self.edit()
            time.sleep(0.01)

    def checkout(self) -> None:
        self.git("checkout", "-q", "-f", self.random.choice(["one", "two"]))

    def repair(self) -> None:
        """Breaks it first."""
        broken = self.random.choice(["def (", "import no_such_module", "raise RuntimeError('not now')"])
        self.edited.save(self.edited.more, broken)
        began = time.time()
        time.sleep(self.random.uniform(*BROKEN))
        self.broken.append((began, time.time()))
        self.edited.save(self.edited.more, "")

    def git(self, *words: str) -> None:
        who = ["-c", "user.name=storm", "-c", "user.email=storm@example.com", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *who, *words], cwd=self.edited.folder, check=True, timeout=30)


class Probe(threading.Thread):
    """Knocks at the node's address: how long was nobody there?"""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self.path = str(path)
        self.gaps: list[float] = []
        self.ended = threading.Event()

    def run(self) -> None:
        since = None
        while not self.ended.wait(PROBE):
            if self._is_there():
                if since is not None:
                    self.gaps.append(time.monotonic() - since)
                since = None
            elif since is None:
                since = time.monotonic()

    def _is_there(self) -> bool:
        with socket.socket(socket.AF_UNIX) as knock:
            knock.settimeout(1)
            try:
                knock.connect(self.path)
            except OSError:
                return False
        return True


@dataclass
class Verdict:
    """What came of `ids`, by the journal and by the ledger."""

    lost: list[str]
    failed: list[Any]
    twice: list[str]
    interrupted: int
    late: list[list[str]]  # tasks of slots that old code began after the last code had
    starved: list[tuple[float, float]]  # times of broken code in which too little ran


def judge(storm: Storm, ids: list[str]) -> Verdict:
    """To be asked when all is over."""
    site = storm.edited.site
    query = "SELECT uuid, status, failures, crashes, interruptions FROM django_ztask_task WHERE function_name LIKE 'edited.%'"
    rows = {row[0]: row[1:] for row in site.sql(query)}
    began, ended = storm.edited.lines("began"), storm.edited.lines("ended")
    starts, ends = Counter(line[0] for line in began), Counter(line[0] for line in ended)
    interruptions = {str(number): rows[task_id][3] for number, task_id in enumerate(ids) if task_id in rows}
    numbers = [str(number) for number in range(len(ids))]
    # (A child reads the code when it is started, which may be newer than what its daemon has read.)
    children = {number for number in numbers if int(number) % CHILD == 3}
    slots = [line for line in began if line[0] not in children]
    first = min(float(line[3]) for line in slots if line[1] == "last")
    return Verdict(
        lost=[number for number in numbers if not ends[number]],
        failed=[row for row in rows.values() if row[0] != "SUCCEEDED" or row[1] or row[2]],
        twice=[
            number
            for number in numbers
            if ends[number] > 1 or starts[number] > 1 + interruptions.get(number, 0)
        ],
        interrupted=sum(interruptions.values()),
        late=[line for line in slots if line[1] != "last" and float(line[3]) > first],
        starved=[times for times in storm.broken if _ended_within(ended, *times) < 20],
    )


def _ended_within(ended: list[list[str]], since: float, until: float) -> int:
    return sum(since < float(line[3]) < until for line in ended)


def wait_until_all_is_done(storm: Storm, seconds: float) -> None:
    wait_for(
        lambda: (
            storm.edited.site.sql(
                "SELECT count(*) FROM django_ztask_task WHERE status IN ('QUEUED', 'RUNNING')"
            )
            == [0]
        ),
        "the end of all tasks",
        seconds,
    )
