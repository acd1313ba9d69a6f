"""`ztaskd pause`: nothing of a queue starts any more, on any node, until it is resumed."""

from __future__ import annotations

import argparse
from typing import Any

EXAMPLES = """\
What runs goes on; what waits, is called, or is tried again meanwhile waits until `ztaskd resume`. The pause is written in the
journal: it holds for all nodes, and beyond restarts and crashes, and can be set while no daemon runs. When this command
returns, every node that could be asked starts nothing of the queue any more. To pause what is paused changes nothing.

Without --queue, everything is paused: the nodes take no tasks at all. That is a pause of its own, beside those of queues.

--json writes one object: queue (null: everything), changed, since (ISO 8601, UTC), by, reason, queued, running (how many
tasks of the queue are, now), told and silent (lists of nodes). With --list, one object a line: queue, since, by, reason,
queued, running.

examples:
  ztaskd pause --queue mail --reason 'the provider is down'
  ztaskd pause                                    everything
  ztaskd pause --list                             what is paused?
"""

CODES = """\
exit codes: 0 done (also when it was paused already), 1 stopped, 2 usage or settings, 5 database unreachable, locked or
not migrated
"""


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    text = "start no more tasks of a queue, or none at all, until it is resumed"
    parser = commands.add_parser(
        "pause",
        help=text,
        description=text.capitalize() + ".",
        epilog=f"{EXAMPLES}\n{CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[common],
    )
    parser.add_argument("--queue", type=queue_name, metavar="NAME", help="this queue (default: everything)")
    parser.add_argument("--reason", default="", metavar="TEXT", help="why: who asks later is told")
    parser.add_argument("--list", action="store_true", help="only say what is paused")
    parser.add_argument("--json", action="store_true", help="one JSON object a line, for programs")


def queue_name(text: str) -> str:
    """What @task(queue=...) takes."""
    from django_ztask.options import Options

    try:
        return Options(queue=text).queue
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def run(options: argparse.Namespace) -> int:
    from django.db import connections

    from django_ztask import filters, pauses
    from django_ztask.conf import conf
    from ztaskd.cli import Exit
    from ztaskd.commands import telling
    from ztaskd.commands.printing import as_json, clean
    from ztaskd.project import Refusal

    connection: Any = connections[conf.database]
    if options.list:
        return _list(connection, options.json)
    if not filters.can_be_stored(options.reason):
        raise Refusal(Exit.USAGE, "--reason: not every database can keep this text")
    pause, is_new = pauses.pause(connection, options.queue or pauses.EVERYTHING, options.reason)
    told, silent = telling.tell(connection, lambda numbers: pause.number in numbers)
    waiting = pauses.waiting(connection, pause.queue)
    if options.json:
        print(as_json({"changed": is_new, **for_machines(pause, waiting), "told": told, "silent": silent}))
        return Exit.CLEAN
    print(f"{clean(pause.what)} is paused {'from now on' if is_new else clean(pause.since_whom)}", end="")
    print(f"; {clean(_said(pause, waiting))}")
    if not told and not silent:
        print("(no daemon runs: whoever starts one next finds it paused)")
    if silent:
        print(telling.unanswered(silent, "starts nothing of it any more"))
    print(f"to go on: {clean(pause.again)}")
    return Exit.CLEAN


def _said(pause: Any, waiting: Any) -> str:
    from ztaskd.commands.printing import number

    if not waiting.known:
        return "there is no task of this queue (yet)"
    of_it = "" if pause.queue == "" else " of it"
    wait = f"{number(waiting.queued, 'task')}{of_it} {'waits' if waiting.queued == 1 else 'wait'}"
    return wait + (
        f", {waiting.running:,} still run{'s' * (waiting.running == 1)}" if waiting.running else ""
    )


def for_machines(pause: Any, waiting: Any) -> dict[str, Any]:
    """With the names that are promised."""
    from ztaskd.commands.printing import utc

    known = {"queue": pause.queue or None, "since": utc(pause.since), "by": pause.by, "reason": pause.reason}
    return {**known, "queued": waiting.queued, "running": waiting.running}


def _list(connection: Any, json: bool) -> int:
    from django_ztask import pauses
    from ztaskd.cli import Exit
    from ztaskd.commands import printing
    from ztaskd.commands.printing import clean

    found = [(pause, pauses.waiting(connection, pause.queue)) for pause in pauses.current(connection)]
    if json:
        for pause, waiting in found:
            print(printing.as_json(for_machines(pause, waiting)))
    elif not found:
        print("nothing is paused")
    else:
        head = ["QUEUE", "SINCE", "BY", "QUEUED", "RUNNING", "REASON"]
        lines = [
            [
                clean(pause.queue) or "(everything)",
                printing.local(pause.since),
                clean(pause.by),
                f"{waiting.queued:,}",
                f"{waiting.running:,}",
                clean(pause.reason),
            ]
            for pause, waiting in found
        ]
        print(printing.table(head, lines, right="QUEUED RUNNING", left_cut=2))
    return Exit.CLEAN
