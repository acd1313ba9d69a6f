"""scripts/soak: many tasks through one daemon; its memory and descriptors must not grow.

A caller keeps a few thousand tasks waiting; most are short, some use the ORM, fail and are retried, or are due
later; succeeded ones are pruned meanwhile. Measured every tenth: RSS and open descriptors.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.acceptance.daemon import MANAGE, MODULE, ROOT, Daemon, Program
from tests.acceptance.site import Site

# A caller that enqueues TASKS in portions, whenever fewer than AHEAD are waiting.
CALLER = """
from django_ztask.models import Task
total, ahead = int(os.environ["TASKS"]), 4000
count_orders.map([0.5] * 200)  # every slot has had a connection of its own
sent = 200
while sent < total:
    if Task.objects.queued().count() >= ahead:
        time.sleep(0.05)
        continue
    portion = min(2000, total - sent)
    for function, share in ((echo, 0.85), (order, 0.05), (fail_once, 0.05)):
        function.map(range(int(portion * share)))
        sent += int(portion * share)
    for number in range(int(portion * 0.01) + 1):
        add.after(0.5, number, 1)
        sent += 1
show(sent)
"""

GROWTH = 1.05


class Done:
    """Counts the tasks that the log says have succeeded, reading on from where it was."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.count = 0
        self._read = 0

    def __call__(self) -> int:
        if self.log.exists():
            with self.log.open("rb") as file:
                file.seek(self._read)
                text = file.read(32 * 2**20)
            whole = text.rfind(b"\n") + 1
            self._read += whole
            self.count += text[:whole].count(b" succeeded in ")
        return self.count


class Measured:
    """What the process used when so many tasks were done. (Descriptors: the fewest since the last time; tasks
    that use the ORM have one each.)"""

    def __init__(self, done: int, pid: int, seconds: float, descriptors: int) -> None:
        self.done = done
        self.seconds = seconds
        status = Path(f"/proc/{pid}/status").read_text()
        self.rss = int(status.split("VmRSS:")[1].split()[0]) / 1024
        self.descriptors = descriptors

    def __str__(self) -> str:
        rate = self.done / self.seconds
        return (
            f"{self.done:>10,} tasks  {self.rss:7.1f} MiB  {self.descriptors:3} descriptors  {rate:7,.0f}/s"
        )


def main() -> int:
    options = _parse()
    with tempfile.TemporaryDirectory() as name:
        site = _site(Path(name), options.keep)
        daemon = site.start(program=MODULE)
        caller = site.spawn(CALLER, TASKS=str(options.tasks))
        try:
            measured = _measure(options.tasks, daemon, caller)
            print(f"caller: exit {caller.wait(600)}, daemon: exit {daemon.stop()}")
        finally:
            site.close()
    return _judge(measured)


def _measure(tasks: int, daemon: Daemon, caller: Program) -> list[Measured]:
    began, measured, done = time.monotonic(), [], Done(daemon.path)
    for tenth in range(1, 11):
        descriptors = [_descriptors(daemon.pid)]
        while done() < tasks * tenth // 10:
            if caller.process.poll() or daemon.process.poll() is not None:
                raise SystemExit(f"it ended early: {caller.text}\n{daemon.text}")
            time.sleep(0.2)
            descriptors.append(_descriptors(daemon.pid))
        measured.append(Measured(done.count, daemon.pid, time.monotonic() - began, min(descriptors)))
        print(measured[-1], flush=True)
    return measured


def _descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def _judge(measured: list[Measured]) -> int:
    base, last = measured[1], measured[-1]
    rss, descriptors = last.rss / base.rss, last.descriptors / base.descriptors
    print(f"from {base.done:,} to {last.done:,} tasks: RSS x {rss:.3f}, descriptors x {descriptors:.3f}")
    return int(rss > GROWTH or descriptors > GROWTH)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("--tasks", type=int, default=1_000_000, metavar="N", help="default 1,000,000")
    parser.add_argument(
        "--keep", type=float, default=60.0, metavar="S", help="ZTASKD_KEEP, default 60 seconds"
    )
    options = parser.parse_args()
    if options.tasks < 1000:
        parser.error(f"--tasks must be 1000 or more, not {options.tasks}")
    return options


def _site(folder: Path, keep: float) -> Site:
    empty = folder / "empty"
    empty.touch()
    site = Site(folder, empty, ZTASKD_KEEP=keep)
    subprocess.run([*MANAGE[:2], "migrate", "-v0"], env=site.env(), cwd=ROOT, check=True)
    return site


if __name__ == "__main__":
    sys.exit(main())
