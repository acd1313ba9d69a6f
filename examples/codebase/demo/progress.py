"""Follows the journal until every task is done: a live bar on a terminal, a few plain lines elsewhere."""

from __future__ import annotations

import time
from collections import deque
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Q
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn

from django_ztask.models import Task

from .daemon import Daemon
from .errors import RunError

STALL_LIMIT = 300.0  # seconds in which nothing gets done: something hangs
POLL = 0.2  # seconds between two looks at the journal
PLAIN_EVERY = 5.0  # seconds between two plain lines
SPEED_WINDOW = 5.0  # seconds over which the speed is measured


@dataclass(frozen=True)
class Counts:
    """How many tasks are in which state, as the journal says."""

    total: int
    succeeded: int = 0
    failed: int = 0
    running: int = 0
    retrying: int = 0  # failed before, and queued again

    @property
    def done(self) -> int:
        return self.succeeded + self.failed


class Speed:
    """Tasks per second over the last few seconds, and how long the rest will take."""

    def __init__(self) -> None:
        self.samples: deque[tuple[float, int]] = deque()

    def update(self, done: int) -> None:
        now = time.monotonic()
        self.samples.append((now, done))
        while now - self.samples[0][0] > SPEED_WINDOW:
            self.samples.popleft()

    @property
    def rate(self) -> float:
        (start, before), (end, after) = self.samples[0], self.samples[-1]
        return (after - before) / (end - start) if end > start else 0.0

    def remaining(self, counts: Counts) -> str:
        if not self.rate:
            return "--:--"
        minutes, seconds = divmod(round((counts.total - counts.done) / self.rate), 60)
        return f"{minutes}:{seconds:02}"


class Bar(AbstractContextManager["Bar"]):
    """The live display."""

    def __init__(self, console: Console, total: int) -> None:
        self.bar = Progress(
            SpinnerColumn("dots", style="green"),
            BarColumn(bar_width=None, complete_style="green", finished_style="green"),
            TaskProgressColumn("{task.percentage:>3.0f}%"),
            TextColumn("[green]{task.fields[done]} done[/]"),
            TextColumn("[red]{task.fields[failed]} failed[/]"),
            TextColumn("[yellow]{task.fields[retrying]} to retry[/]"),
            TextColumn("[cyan]{task.fields[running]} running[/]"),
            TextColumn("{task.fields[rate]}/s"),
            TextColumn("[dim]ETA {task.fields[eta]}[/]"),
            console=console,
            expand=True,
            transient=True,  # the summary says it all
        )
        fields: dict[str, Any] = {
            "done": 0,
            "failed": 0,
            "retrying": 0,
            "running": 0,
            "rate": 0,
            "eta": "--:--",
        }
        self.task = self.bar.add_task("", total=total, **fields)

    def __enter__(self) -> Bar:
        self.bar.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.bar.stop()

    def update(self, counts: Counts, speed: Speed) -> None:
        self.bar.update(
            self.task,
            completed=counts.done,
            done=f"{counts.done:,}",
            failed=counts.failed,
            retrying=counts.retrying,
            running=counts.running,
            rate=f"{speed.rate:.0f}",
            eta=speed.remaining(counts),
        )


class Lines(AbstractContextManager["Lines"]):
    """The display for pipes, files and CI logs."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.next = time.monotonic() + PLAIN_EVERY

    def __exit__(self, *exc_info: object) -> None:
        pass

    def update(self, counts: Counts, speed: Speed) -> None:
        if time.monotonic() < self.next and counts.done < counts.total:
            return
        self.next = time.monotonic() + PLAIN_EVERY
        self.console.print(
            f"{counts.done / counts.total:4.0%}  {counts.done:,} of {counts.total:,} tasks done,"
            f" {counts.failed} failed, {counts.retrying} to retry, {counts.running} running, {speed.rate:.0f}/s",
        )


def look(total: int) -> Counts:
    states = {
        "succeeded": Q(status="SUCCEEDED"),
        "failed": Q(status="FAILED"),
        "running": Q(status="RUNNING"),
        "retrying": Q(status="QUEUED", failures__gt=0),
    }
    return Counts(
        total, **Task.objects.aggregate(**{name: Count("uuid", filter=q) for name, q in states.items()})
    )


def follow(total: int, daemon: Daemon, console: Console) -> Counts:
    """Returns when all tasks are done; raises RunError when the daemon dies or nothing moves any more."""
    speed = Speed()
    changed, last = time.monotonic(), 0
    # isatty besides, since CI services set FORCE_COLOR, which makes a pipe count as a terminal
    live = console.file.isatty() and console.is_terminal and not console.is_dumb_terminal
    with Bar(console, total) if live else Lines(console) as display:
        while True:
            counts = look(total)
            speed.update(counts.done)
            display.update(counts, speed)
            if counts.done >= total:
                return counts
            daemon.check()
            if counts.done != last:
                changed, last = time.monotonic(), counts.done
            elif time.monotonic() - changed > STALL_LIMIT:
                raise RunError(
                    f"nothing got done for {STALL_LIMIT:.0f} s: {counts.done:,} of {total:,} tasks are done,"
                    f" {counts.running} running{daemon.end_of_log()}"
                )
            time.sleep(POLL)
