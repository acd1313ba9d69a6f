"""`ztaskd cancel`: tasks that are queued never start; those that run are asked to end."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

STATES = ("QUEUED", "RUNNING")

EXAMPLES = """\
A queued task is CANCELLED at once. One that runs is asked to end by its node: TaskCancelled is raised in it (see
TaskHandle.cancel() in the README); this command does not wait for that. --since and --until are about when it was called.

examples:
  ztaskd cancel 0198c9f3-7a                           this one, queued or running
  ztaskd cancel --function 'shop.tasks.mail_*' --dry-run
  ztaskd cancel --queue stock --status QUEUED --yes   whatever waits in this queue
"""

# Seconds between two tasks, as a multiple of what one took.
REST = 0.5

# Ids of one look.
BATCH = 100


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    from ztaskd.commands import selection

    text = "cancel tasks that are queued or run"
    parser = commands.add_parser(
        "cancel",
        help=text,
        description=text.capitalize() + ".",
        epilog=f"{selection.EPILOG}\n{EXAMPLES}\n{selection.CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[common],
    )
    parser.add_argument(
        "ids",
        nargs="*",
        metavar="ID",
        help="a task's id, or the beginning of it (as --id, but without a question)",
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would be cancelled")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument(
        "--all", action="store_true", help="without any selection: all that are queued or run"
    )
    parser.add_argument("--status", type=str.upper, choices=STATES, help="in this state only")
    selection.add_selection(parser, "called", "at most N of each state")


def run(options: argparse.Namespace) -> int:
    from django.db import connections

    from django_ztask import operations
    from django_ztask.conf import conf
    from ztaskd.cli import Exit
    from ztaskd.commands import selection
    from ztaskd.commands.asking import confirmed
    from ztaskd.commands.printing import number
    from ztaskd.commands.summary import print_groups
    from ztaskd.project import Refusal

    options.id = [*(options.id or []), *options.ids] or None
    connection: Any = connections[conf.database]
    wanted = selection.wanted(options, connection)
    if wanted.is_empty and not options.all:
        raise Refusal(Exit.USAGE, "all tasks that are queued or run? Say which (see --help), or --all")
    states = [options.status] if options.status else list(STATES)
    conditions = {state: operations.cancellable(connection, wanted, state) for state in states}
    groups = {
        state: operations.groups(connection, condition, state, options.limit, by_id=True)
        for state, condition in conditions.items()
    }
    totals = {state: sum(group.number for group in groups[state]) for state in states}
    what = " and ".join(number(total, f"{state} task") for state, total in totals.items() if total)
    if not what:
        _tell_nothing(connection, wanted, states)
        return Exit.CLEAN
    if options.dry_run or not (options.yes or options.ids):
        for state in states:
            print_groups(groups[state], "called")
    if options.dry_run:
        print(f"{what} would be cancelled; nothing was changed (--dry-run)")
        return Exit.CLEAN
    if not (options.yes or options.ids) and not confirmed(f"cancel {what}?"):
        print("nothing was cancelled")
        return Exit.CRASH
    _cancel_all(connection, conditions, totals)
    return Exit.CLEAN


def _tell_nothing(connection: Any, wanted: Any, states: list[str]) -> None:
    from django_ztask import operations
    from ztaskd.commands.printing import number

    asked = "RUNNING" in states and operations.count(connection, wanted.condition(connection), "RUNNING")
    known = f" ({number(asked, 'running task')} asked to end before)" if asked else ""
    print(f"no task that is queued or runs matches: nothing to cancel{known}")


def _cancel_all(connection: Any, conditions: dict[str, Any], totals: dict[str, int]) -> None:
    from ztaskd.commands.printing import number
    from ztaskd.commands.progress import Progress

    progress = Progress(sum(totals.values()), "cancelled")
    counts = {"CANCELLED": 0, "RUNNING": 0}
    missing = 0  # queued when they were counted, and not any more: they may be met among those that run
    try:
        for state, total in totals.items():
            missing += total
            for status in _each(connection, conditions, state, missing):
                missing -= 1
                if status is not None:
                    counts[status] += 1
                progress.show(sum(counts.values()))
    except BaseException:
        progress.end()
        print(f"{sum(counts.values()):,} cancelled before this:", file=sys.stderr)
        raise
    progress.end()
    said = [f"{number(counts['CANCELLED'], 'task')} cancelled"] if counts["CANCELLED"] else []
    if counts["RUNNING"]:
        said.append(f"{number(counts['RUNNING'], 'running task')} asked to end")
    others = sum(totals.values()) - sum(counts.values())
    if others > 0:
        said.append(f"{others:,} had {'ended' if 'RUNNING' in totals else 'started or ended'} before")
    print("; ".join(said))


def _each(connection: Any, conditions: dict[str, Any], state: str, total: int) -> Any:
    """What each of up to `total` tasks of that state is after it was cancelled; None for what has left the states that
    were asked for."""
    from django_ztask import cancelling, operations

    passed, last = 0, ""
    while passed < total:
        ids = operations.walk_by_id(connection, conditions[state], state, last, min(BATCH, total - passed))
        if not ids:
            return
        passed, last = passed + len(ids), ids[-1]
        for task_id in ids:
            began = time.monotonic()
            status = cancelling.cancel(connection, task_id, tuple(conditions))
            yield status
            time.sleep((time.monotonic() - began) * REST)
