"""`ztaskd purge`: deletes failed tasks (or others that are over), a few rows at a time."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

EXAMPLES = """\
Deleted are rows of tasks that are over, with their attempts: never what is queued or runs. With --status SUCCEEDED or
CANCELLED, --since and --until are about when they ended.

--json writes one object: status, matched and deleted (numbers), dry_run, and groups, a list of {count, function, exception,
oldest, newest (ISO 8601, UTC)}.

examples:
  ztaskd purge --until 30d --dry-run                what failed more than a month ago?
  ztaskd purge --function 'shop.tasks.old_*' --yes
  ztaskd purge --status CANCELLED --all
"""

# Rows of one transaction; how much longer than it took the next one is put off.
BATCH, REST = 100, 1.0


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    from ztaskd.commands import selection
    from ztaskd.commands.summary import add_asking

    text = "delete failed tasks that match"
    parser = commands.add_parser(
        "purge",
        help=text,
        description=text.capitalize() + ", for good.",
        epilog=f"{selection.EPILOG}\n{EXAMPLES}\n{selection.CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[common],
    )
    add_asking(parser, "deleted")
    parser.add_argument("--all", action="store_true", help="without any selection: all of that state")
    parser.add_argument(
        "--status",
        type=str.upper,
        choices=("FAILED", "SUCCEEDED", "CANCELLED"),
        default="FAILED",
        help="in this state (default FAILED)",
    )
    selection.add_selection(parser, "that failed", "at most N")


def run(options: argparse.Namespace) -> int:
    from django.db import connections

    from django_ztask import operations
    from django_ztask.conf import conf
    from ztaskd.cli import Exit
    from ztaskd.commands import printing, selection, summary
    from ztaskd.project import Refusal

    connection: Any = connections[conf.database]
    wanted = selection.wanted(options, connection)
    if wanted.is_empty and not options.all:
        raise Refusal(Exit.USAGE, f"all {options.status} tasks? Say which (see --help), or --all")
    summary.refuse_to_ask(options)
    condition = operations.purgeable(connection, wanted, options.status)
    groups = operations.groups(connection, condition, options.status, options.limit, by_id=True)
    total = sum(group.number for group in groups)
    if options.json:
        deleted = 0 if options.dry_run else _purge(connection, condition, options.status, total)
        said = {"status": options.status, "matched": total, "deleted": deleted, "dry_run": options.dry_run}
        print(printing.as_json({**said, "groups": summary.as_objects(groups)}))
        return Exit.CLEAN
    if not _agreed(options, groups, total):
        return Exit.CLEAN if options.dry_run or not total else Exit.CRASH
    deleted = _purge(connection, condition, options.status, total)
    print(f"{printing.number(deleted, f'{options.status} task')} deleted")
    return Exit.CLEAN


def _agreed(options: argparse.Namespace, groups: list[Any], total: int) -> bool:
    """Says what it is about, and asks, as far as that is wanted."""
    from ztaskd.commands.asking import confirmed
    from ztaskd.commands.printing import number
    from ztaskd.commands.summary import print_groups

    what = number(total, f"{options.status} task")
    if not total:
        print(f"no {options.status} task matches: nothing to delete")
        return False
    if options.dry_run or not options.yes:
        print_groups(groups, "failed" if options.status == "FAILED" else "ended")
    if options.dry_run:
        print(f"{what} would be deleted; nothing was changed (--dry-run)")
        return False
    if not options.yes and not confirmed(f"delete {what} for good?"):
        print("nothing was deleted")
        return False
    return True


def _purge(connection: Any, condition: Any, status: str, total: int) -> int:
    """(No more than were counted: nobody has agreed to those that came since.)"""
    from django.db import transaction

    from django_ztask import operations
    from ztaskd.commands.progress import Progress

    purged, passed, last = 0, 0, ""
    progress = Progress(total, "deleted")
    try:
        while passed < total:
            began = time.monotonic()
            ids = operations.walk_by_id(connection, condition, status, last, min(BATCH, total - passed))
            if not ids:
                break
            with transaction.atomic(using=connection.alias):
                deleted = operations.delete(connection, ids, status)
            purged, passed, last = purged + deleted, passed + len(ids), ids[-1]
            progress.show(purged)
            time.sleep((time.monotonic() - began) * REST)
    except BaseException:
        progress.end()
        print(f"{purged:,} deleted before this:", file=sys.stderr)
        raise
    progress.end()
    return purged
