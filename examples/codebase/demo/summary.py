"""What a person wants to know after the run, from the project's own rows and from the journal."""

from __future__ import annotations

import os
import shlex
import sys
from collections import defaultdict
from pathlib import Path

from django.db.models import F, Sum
from indexer.models import SourceFile
from rich.console import Console
from rich.table import Table
from rich.text import Text

from django_ztask.models import Attempt, Task

from .errors import RunError
from .progress import Counts
from .sources import Codebase

TOP = 5
Ids = dict[str, str]  # task id -> path of the file it was about


def check_nothing_lost(ids: Ids) -> None:
    """Every task handed over must be done by the journal, and its work must be in the project's table."""
    done = set(Task.objects.filter(status__in=("SUCCEEDED", "FAILED")).values_list("uuid", flat=True))
    lost = ids.keys() - done
    if lost:
        raise RunError(f"{len(lost)} tasks got lost, for example {min(lost)} ({ids[min(lost)]})")
    for task, column in (("read_source", "lines"), ("analyse_source", "functions")):
        succeeded = Task.objects.succeeded().filter(function_name=f"indexer.tasks.{task}").count()
        written = SourceFile.objects.exclude(**{column: None}).count()
        if succeeded != written:
            raise RunError(f"{succeeded} {task} tasks succeeded, but {written} files have their result")


def print_summary(console: Console, codebase: Codebase, ids: Ids, counts: Counts, elapsed: float) -> None:
    console.print()
    console.print(Text(codebase.title[:1].upper() + codebase.title[1:], style="bold"))
    console.print(key_figures(len(set(ids.values())), counts, elapsed))
    console.print()
    console.print(most_definitions())
    if counts.failed:
        console.print()
        console.print(failures(ids))
        if codebase.why_failures:
            console.print(Text("  " + codebase.why_failures, style="dim"))


def key_figures(files: int, counts: Counts, elapsed: float) -> Table:
    columns = ("lines", "functions", "classes")
    sums = SourceFile.objects.aggregate(**{name: Sum(name) for name in columns})
    lines, functions, classes = (sums[name] or 0 for name in columns)
    figures = Table.grid(padding=(0, 2))
    figures.add_column(style="cyan")
    for label, text in (
        ("Files", f"{files:,}"),
        ("Lines", f"{lines:,}"),
        ("Functions", f"{functions:,}"),
        ("Classes", f"{classes:,}"),
        ("Tasks", f"{counts.done:,} done: {counts.succeeded:,} succeeded, {counts.failed:,} failed"),
        ("Where", places()),
        ("Time", f"{elapsed:.1f} s, {counts.done / elapsed:,.0f} tasks/s"),
    ):
        figures.add_row("  " + label, text)
    return figures


def places() -> str:
    """Where the tasks ran, as their rows say."""
    in_children = Task.objects.filter(pool="process").count()
    return f"{Task.objects.count() - in_children:,} in the daemon's slots, {in_children:,} in child processes"


def new_table(title: str) -> Table:
    return Table(
        title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2), pad_edge=True
    )


def most_definitions() -> Table:
    table = new_table("Most definitions")
    for heading in ("functions", "classes", "lines"):
        table.add_column(heading, justify="right", header_style="dim")
    table.add_column("file", header_style="dim", overflow="fold")
    parsed = SourceFile.objects.exclude(functions=None)
    for file in parsed.order_by(-(F("functions") + F("classes")), "path")[:TOP]:
        lines = "-" if file.lines is None else f"{file.lines:,}"
        table.add_row(f"{file.functions:,}", f"{file.classes:,}", lines, Text(file.path))
    return table


def failures(ids: Ids) -> Table:
    """One row per exception class and task function, with one example."""
    groups = defaultdict(list)
    for row in Task.objects.failed().values("uuid", "function_name", "last_exception"):
        kind, _, message = (row["last_exception"] or "unknown").partition(":")
        groups[kind, row["function_name"].rpartition(".")[2]].append((ids[row["uuid"]], message.strip()))
    table = new_table(f"Failed for good, after {Attempt.objects.count():,} attempts in all")
    for heading in ("exception", "task", "count"):
        table.add_column(heading, header_style="dim", no_wrap=True)
    table.add_column("for example", header_style="dim", overflow="fold")
    for (kind, task), found in sorted(groups.items(), key=lambda group: -len(group[1])):
        path, message = found[0]
        example = Text("\n").join([Text(path, style="cyan"), *map(Text, message.splitlines()[:1])])
        table.add_row(Text(kind, style="red"), task, f"{len(found):,}", example)
    return table


def print_what_next(console: Console, project: Path, log: Path, failed: int) -> None:
    if failed:
        replay = [
            short(sys.executable),
            short(project / "manage.py"),
            "ztaskd",
            "--noreload",
            "--replayfailed",
        ]
        console.print("\n[bold]Run the failed tasks again[/], from this folder (Ctrl-C stops it)")
        console.print(Text("  " + shlex.join(replay)), soft_wrap=True)
    console.print(Text.assemble(("\nLog", "bold"), f"  {short(log)}"), soft_wrap=True)


def short(path: str | Path) -> str:
    """The path from the current folder, or the absolute one if that is shorter."""
    return min(os.path.relpath(path), os.path.abspath(path), key=len)
