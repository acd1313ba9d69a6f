"""What a selection holds: how many for each task function and exception. And who is asked before that is changed."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Sequence
from typing import Any

# Lines of the table; what follows is added up.
MOST = 40


def print_groups(groups: Sequence[Any], moment: str) -> None:
    """`moment`: what happened to them at their oldest and newest time."""
    from ztaskd.commands import printing
    from ztaskd.commands.printing import clean, local, number, one_line, short_local, table

    if not groups:
        return
    now, narrow = time.time(), printing.width() < printing.NARROW

    def when(epoch: float | None) -> str:
        return short_local(epoch, now) if narrow else local(epoch)

    rows = [
        [f"{g.number:,}", clean(g.function), when(g.oldest), when(g.newest), one_line(g.exception) or "-"]
        for g in groups[:MOST]
    ]
    head = ["COUNT", "FUNCTION", f"FIRST {moment.upper()}", f"LAST {moment.upper()}", "EXCEPTION"]
    print(table(head, rows, right="COUNT", left_cut=1))
    if len(groups) > MOST:
        rest = sum(group.number for group in groups[MOST:])
        print(f"... and {number(rest, 'task')} of {len(groups) - MOST:,} other kinds")


def as_objects(groups: Iterable[Any]) -> list[dict[str, Any]]:
    """The same for programs."""
    from ztaskd.commands.printing import utc

    return [
        {
            "count": group.number,
            "function": group.function,
            "exception": group.exception,
            "oldest": utc(group.oldest),
            "newest": utc(group.newest),
        }
        for group in groups
    ]


def add_asking(parser: argparse.ArgumentParser, done: str) -> None:
    """`done`: what becomes of the tasks."""
    parser.add_argument("--dry-run", action="store_true", help=f"only say what would be {done}")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument(
        "--json", action="store_true", help="as one JSON object, for programs (who are not asked: say --yes)"
    )


def refuse_to_ask(options: argparse.Namespace) -> None:
    """A program can say no more than --yes. Raises Refusal when it would have to."""
    from ztaskd.cli import Exit
    from ztaskd.project import Refusal

    if options.json and not (options.dry_run or options.yes):
        raise Refusal(Exit.USAGE, "--json asks nobody: say --yes, or --dry-run")
