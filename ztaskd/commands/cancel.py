"""`ztaskd cancel`: tasks that are queued never start; those that run are asked to end."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

STATES = ("QUEUED", "RUNNING")

# What became of those that matched.
COUNTED = ("cancelled", "asked_to_end", "ended_before")

EXAMPLES = """\
A queued task is CANCELLED at once. One that runs is asked to end by its node: TaskCancelled is raised in it (see
TaskHandle.cancel() in the README); this command does not wait for that. --since and --until are about when it was called.

--json writes one object: matched {QUEUED, RUNNING}, cancelled, asked_to_end and ended_before (numbers), dry_run, and
groups {QUEUED, RUNNING}, lists of {count, function, exception, oldest, newest (ISO 8601, UTC)}.

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
    from ztaskd.commands.summary import add_asking

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
    add_asking(parser, "cancelled")
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
    from ztaskd.commands import printing, selection, summary
    from ztaskd.project import Refusal

    options.id = [*(options.id or []), *options.ids] or None
    connection: Any = connections[conf.database]
    wanted = selection.wanted(options, connection)
    if wanted.is_empty and not options.all:
        raise Refusal(Exit.USAGE, "all tasks that are queued or run? Say which (see --help), or --all")
    options.yes = options.yes or bool(options.ids)
    summary.refuse_to_ask(options)
    states = [options.status] if options.status else list(STATES)
    conditions = {state: operations.cancellable(connection, wanted, state) for state in states}
    groups = {
        state: operations.groups(connection, condition, state, options.limit, by_id=True)
        for state, condition in conditions.items()
    }
    totals = {state: sum(group.number for group in groups[state]) for state in states}
    if options.json:
        counts = {} if options.dry_run else _cancel_all(connection, conditions, totals)
        found = {state: summary.as_objects(groups[state]) for state in states}
        said = {"matched": totals, **{name: counts.get(name, 0) for name in COUNTED}}
        print(printing.as_json({**said, "dry_run": options.dry_run, "groups": found}))
        return Exit.CLEAN
    what = " and ".join(printing.number(total, f"{state} task") for state, total in totals.items() if total)
    if not what:
        _tell_nothing(connection, wanted, states)
        return Exit.CLEAN
    if not _agreed(options, groups, what):
        return Exit.CLEAN if options.dry_run else Exit.CRASH
    _tell(_cancel_all(connection, conditions, totals), "RUNNING" in states)
    return Exit.CLEAN


def _agreed(options: argparse.Namespace, groups: dict[str, Any], what: str) -> bool:
    """Says what it is about, and asks, as far as that is wanted."""
    from ztaskd.commands.asking import confirmed
    from ztaskd.commands.summary import print_groups

    if options.dry_run or not options.yes:
        for found in groups.values():
            print_groups(found, "called")
    if options.dry_run:
        print(f"{what} would be cancelled; nothing was changed (--dry-run)")
        return False
    if not options.yes and not confirmed(f"cancel {what}?"):
        print("nothing was cancelled")
        return False
    return True


def _tell_nothing(connection: Any, wanted: Any, states: list[str]) -> None:
    from django_ztask import operations
    from ztaskd.commands.printing import number

    asked = "RUNNING" in states and operations.count(connection, wanted.condition(connection), "RUNNING")
    known = f" ({number(asked, 'running task')} asked to end before)" if asked else ""
    print(f"no task that is queued or runs matches: nothing to cancel{known}")


def _cancel_all(connection: Any, conditions: dict[str, Any], totals: dict[str, int]) -> dict[str, int]:
    """How many of each of COUNTED."""
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
    others = max(0, sum(totals.values()) - sum(counts.values()))
    return dict(zip(COUNTED, (counts["CANCELLED"], counts["RUNNING"], others), strict=True))


def _tell(counts: dict[str, int], had_running: bool) -> None:
    """`had_running`: those that run were among those to cancel."""
    from ztaskd.commands.printing import number

    cancelled, asked, others = (counts[name] for name in COUNTED)
    said = [f"{number(cancelled, 'task')} cancelled"] if cancelled else []
    if asked:
        said.append(f"{number(asked, 'running task')} asked to end")
    if others:
        said.append(f"{others:,} had {'ended' if had_running else 'started or ended'} before")
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
