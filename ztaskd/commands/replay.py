"""`ztaskd replay`: failed tasks run again, the oldest call first; it can be stopped, killed, and gone on with."""

from __future__ import annotations

import argparse
from typing import Any

EXAMPLES = """\
Tasks are queued in the order of their calls (created, id), and start in it (a higher priority first, as ever). It works
with the daemon up or down. Each task is replayed once: what fails again in the meantime is for the next replay. Started
again with the same selection (and --serial or not, as before) after it was stopped or killed, it goes on where it was. Two
--serial replays refuse to run at once (exit code 1). Not replayed: at_most_once tasks that had started, and what
django-ztask 0.1 has left unreadable.

examples:
  ztaskd replay --dry-run                                   what would run? (changes nothing)
  ztaskd replay --function 'shop.tasks.send_*' --since 1d   mails that failed since yesterday
  ztaskd replay --exception ConnectionError --rate 50/s     fifty a second, beside live traffic
  ztaskd replay --queue stock --serial                      one at a time: each has ended before the next starts
  ztaskd replay --id 0198c9f3-7a                            this one
"""


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    from ztaskd.commands import pacing, selection

    text = "run failed tasks again, in the order of their calls"
    parser = commands.add_parser(
        "replay",
        help=text,
        description=f"{text.capitalize()}, each with its full retries.",
        epilog=f"{selection.EPILOG}\n{EXAMPLES}\n{selection.CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[common],
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would run")
    parser.add_argument(
        "--rate", type=pacing.rate, metavar="N/s", help="queue so many a second (or N/m, N/h)"
    )
    parser.add_argument("--serial", action="store_true", help="one at a time: each has ended before the next")
    parser.add_argument("--anew", action="store_true", help="do not go on with one that was stopped")
    selection.add_selection(parser, "that failed", "at most N, those of the oldest calls")


def run(options: argparse.Namespace) -> int:
    from django.db import connections

    from django_ztask.conf import conf
    from ztaskd.cli import Exit
    from ztaskd.commands import selection
    from ztaskd.commands.replaying import Replaying, begin

    connection: Any = connections[conf.database]
    wanted = selection.wanted(options, connection)
    if options.dry_run:
        _dry_run(connection, wanted, options.limit)
        return Exit.CLEAN
    replay = begin(connection, options, wanted)
    if replay is None:
        _tell_left_out(connection, wanted)
        return Exit.CLEAN
    replaying = Replaying(connection, replay, options)
    replaying.run()
    _tell_left_out(connection, replay.wanted)
    return Exit.CLEAN


def _dry_run(connection: Any, wanted: Any, limit: int | None) -> None:
    from django_ztask import operations
    from ztaskd.commands.printing import number
    from ztaskd.commands.summary import print_groups

    groups = operations.groups(connection, operations.replayable(connection, wanted), limit=limit)
    print_groups(groups, "failed")
    total = sum(group.number for group in groups)
    print(f"{number(total, 'task')} would run again, oldest call first; nothing was changed (--dry-run)")
    _tell_left_out(connection, wanted)


def _tell_left_out(connection: Any, wanted: Any) -> None:
    from django_ztask import operations
    from ztaskd.commands.printing import number

    left = operations.left_out(connection, wanted)
    if left.started_once:
        print(
            f"{number(left.started_once, 'at_most_once task')} that had started: not replayed, still FAILED"
        )
    if left.unreadable:
        print(
            f"{number(left.unreadable, 'task')} that django-ztask left, unreadable: not replayed, still FAILED"
        )
