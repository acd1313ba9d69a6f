"""`ztaskd resume`: what was paused goes on."""

from __future__ import annotations

import argparse
from typing import Any

EXAMPLES = """\
Tasks that have waited start in the order in which they would have: by priority, due time, call. To resume what is not paused
changes nothing. Without --queue it ends the pause of everything; queues that are paused by themselves stay so (--all: they
go on, too).

--json writes one object for each pause that was ended, on a line of its own: queue (null: everything), since (ISO 8601,
UTC), by, reason, queued, running, told and silent (lists of nodes). Nothing, when nothing was.

examples:
  ztaskd resume --queue mail
  ztaskd resume --all
"""


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    from ztaskd.commands.pause import CODES, queue_name

    text = "let go on what was paused"
    parser = commands.add_parser(
        "resume",
        help=text,
        description=text.capitalize() + ".",
        epilog=f"{EXAMPLES}\n{CODES.replace('was paused already', 'was not paused')}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[common],
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--queue", type=queue_name, metavar="NAME", help="this queue")
    which.add_argument("--all", action="store_true", help="everything, and each queue that is paused")
    parser.add_argument("--json", action="store_true", help="one JSON object a line, for programs")


def run(options: argparse.Namespace) -> int:
    from django.db import connections

    from django_ztask import pauses
    from django_ztask.conf import conf
    from ztaskd.cli import Exit
    from ztaskd.commands import telling
    from ztaskd.commands.pause import for_machines
    from ztaskd.commands.printing import as_json, clean, number

    connection: Any = connections[conf.database]
    queue = options.queue or pauses.EVERYTHING
    wanted = [pause for pause in pauses.current(connection) if options.all or pause.queue == queue]
    # (Before it ends: the nodes are quick.)
    waited = {pause.number: pauses.waiting(connection, pause.queue) for pause in wanted}
    ended = [pause for pause in wanted if pauses.resume(connection, pause)]
    numbers = {pause.number for pause in wanted}
    told, silent = telling.tell(connection, numbers.isdisjoint) if wanted else ([], [])
    for pause in ended:
        waiting = waited[pause.number]
        if options.json:
            print(as_json({**for_machines(pause, waiting), "told": told, "silent": silent}))
        else:
            have = "task has" if waiting.queued == 1 else "tasks have"
            print(f"{clean(pause.what)} goes on: {waiting.queued:,} {have} waited")
    if options.json:
        return Exit.CLEAN
    if not ended:
        print("nothing was paused" if options.all else f"{clean(_named(queue))} was not paused")
    if silent:
        print(telling.unanswered(silent, "goes on"))
    if wanted and not told and not silent:
        print("(no daemon runs)")
    left = pauses.current(connection)
    if left:
        others = ", ".join(clean(pause.what) for pause in left)
        print(f"{number(len(left), 'pause')} in force: {others} (ztaskd resume --all ends all)")
    return Exit.CLEAN


def _named(queue: str) -> str:
    return f"queue {queue}" if queue else "everything"
