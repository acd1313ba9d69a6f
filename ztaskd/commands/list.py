"""`ztaskd list`: tasks, the newest call first."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from typing import Any

STATES = ("QUEUED", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED")

# On a terminal of fewer columns than this, the age says when it was called: the column of that index is left out.
WITHOUT_CREATED, CREATED = 100, 3

EXAMPLES = """\
The first list is as fast with a million tasks as with ten. What is slow (a second or so for each million): a selection that
few tasks match, but for --status FAILED and --status RUNNING.

--json writes one object for each task, on a line of its own, with the keys id, status, function, queue, pool, priority,
created, due, failed, started, finished, cancel_requested (ISO 8601, UTC, or null), attempts, failures, crashes, interruptions, replays,
retries_left, exception (the first line of it), node.

examples:
  ztaskd list                                     the fifty newest
  ztaskd list --status FAILED --since 1h          calls of the last hour that failed
  ztaskd list --function '*.send_*' --limit 5
  ztaskd list --status QUEUED --json | jq -r .id
"""


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    from ztaskd.commands import selection

    text = "show tasks, the newest call first"
    parser = commands.add_parser(
        "list",
        help=text,
        description=text.capitalize() + ".",
        epilog=f"{selection.EPILOG}\n{EXAMPLES}\n{selection.CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[common],
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line, for programs")
    parser.add_argument("--status", type=str.upper, choices=STATES, help="in this state only")
    selection.add_selection(parser, "called", "at most N (default 50)", 50)


def run(options: argparse.Namespace) -> int:
    from django.db import connections

    from django_ztask import looking
    from django_ztask.conf import conf
    from ztaskd.cli import Exit
    from ztaskd.commands import printing, selection

    connection: Any = connections[conf.database]
    wanted = selection.wanted(options, connection)
    found = looking.newest(connection, wanted, options.status, options.limit)
    if options.json:
        for row in found:
            print(printing.as_json(for_machines(row)))
        return Exit.CLEAN
    if not found:
        print("no task matches" if options.status or not wanted.is_empty else "there are no tasks")
        return Exit.CLEAN
    now, room = time.time(), printing.width()
    narrow = room < printing.NARROW
    head = ["ID", "STATUS", "FUNCTION", "CREATED", "AGE", "TRIES", "LAST EXCEPTION"]
    table = [head, *(_line(row, now, narrow) for row in found)]
    if room < WITHOUT_CREATED:
        table = [line[:CREATED] + line[CREATED + 1 :] for line in table]
    print(printing.table(table[0], table[1:], right="AGE TRIES", left_cut=2))
    if len(found) == options.limit:
        print(f"(the newest {options.limit}; --limit N shows more)")
    return Exit.CLEAN


def _line(row: Mapping[str, Any], now: float, narrow: bool) -> list[str]:
    from ztaskd.commands.printing import SHORT_ID, clean, local, one_line, short_local, without_module

    exception = one_line(row["last_exception"]) if row["status"] != "SUCCEEDED" else ""
    return [
        clean(row["uuid"])[: SHORT_ID if narrow else None],
        clean(row["status"]),
        clean(row["function_name"]),
        short_local(row["created"], now) if narrow else local(row["created"]),
        _age(row, now),
        clean(row["attempts"]),
        without_module(exception) if narrow else exception,
    ]


def _age(row: Mapping[str, Any], now: float) -> str:
    """How long ago it was called, or when it is due."""
    from ztaskd.commands.printing import age

    due = row["next_attempt"]
    if row["status"] == "QUEUED" and isinstance(due, int | float) and due > now:
        return f"due {age(due - now)}"
    return "-" if row["created"] is None else age(now - row["created"])


def for_machines(row: Mapping[str, Any]) -> dict[str, Any]:
    """With the names that are promised."""
    from django_ztask import aside
    from ztaskd.commands.printing import one_line, utc

    due = row["next_attempt"]
    return {
        "id": row["uuid"],
        "status": row["status"],
        "function": row["function_name"],
        "queue": row["queue"],
        "pool": aside.home(row["pool"]),
        "priority": row["priority"],
        "created": utc(row["created"]),
        "due": utc(due) if isinstance(due, int | float) else None,
        "failed": utc(row["failed"]),
        "started": utc(row["started"]),
        "finished": utc(row["finished"]),
        "cancel_requested": utc(row["cancel_requested"]),
        **{name: row[name] for name in ("attempts", "failures", "crashes", "interruptions", "replays")},
        "retries_left": row["retry_count"],
        "exception": None if row["last_exception"] is None else one_line(row["last_exception"]),
        "node": row["node"],
    }
