"""`ztaskd explain`: why does this task not run, or why has it failed, and what to do."""

from __future__ import annotations

import argparse
import re
import textwrap
from functools import partial
from typing import Any

# A command stays on one line, for who copies it: its spaces are these while the lines are made.
COMMAND = re.compile(r"`[^`]{1,70}`|ztaskd replay --id \S+")
UNBROKEN = "\x1f"

EXAMPLES = """\
It asks the journal, every node that is known (which takes a second for one that does not answer), the keys, the task
function, the disk and the clocks.

--json writes one object: id, status, function, and findings, a list of {code, what, advice}. The codes: due, retry, slot,
no-node, paused, comes-back, disk, unknown-function, mac, old-key, node-key, pickle, suspect, quarantined, exception, at-most-once,
legacy, refused, running, cancelling, node-silent, node-gone, succeeded, cancelled, clock, version, migrations, no-due-time,
unknown-state.

examples:
  ztaskd explain 0198c9f3-7a                  the beginning of an id is enough
"""


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    from ztaskd.commands import selection

    selection.add_for_one_task(
        commands, common, "explain", "say why a task does not run, or has failed, and what to do", EXAMPLES
    )


def run(options: argparse.Namespace) -> int:
    from django.db import connections

    from django_ztask import evidence
    from django_ztask.conf import conf
    from django_ztask.explain import explain
    from ztaskd.cli import Exit
    from ztaskd.commands import printing, selection
    from ztaskd.project import Refusal

    connection: Any = connections[conf.database]
    task_id = selection.find(connection, options.id)
    found = evidence.gather(connection, task_id, partial(is_held, connection))
    if found is None:
        raise Refusal(Exit.NOT_FOUND, f"the task {printing.clean(task_id)} was just deleted")
    findings = explain(found)
    if options.json:
        head = {"id": task_id, "status": found.row["status"], "function": found.row["function_name"]}
        listed = [{"code": f.code, "what": f.what, "advice": f.advice} for f in findings]
        print(printing.as_json({**head, "findings": listed}))
        return Exit.CLEAN
    row = found.row
    print(
        f"{printing.clean(task_id)}  {printing.clean(row['status'])}  {printing.clean(row['function_name'])}"
    )
    for finding in findings:
        print()
        print(_wrapped(finding.what, "  ", "  "))
        if finding.advice:
            print(_wrapped(finding.advice, "  -> ", "     "))
    return Exit.CLEAN


def is_held(connection: Any, boot: str) -> bool | None:
    """Whether that boot's process lives, by its lock file. None: it is not to be seen here."""
    from ztaskd import locks, recover

    try:
        lock = recover.boot_lock(locks.folder_for(connection), boot)
        return locks.is_held(lock) if lock.exists() else None
    except OSError:  # (another user's)
        return None


def _wrapped(text: str, first: str, others: str) -> str:
    from ztaskd.commands.printing import clean, one_line, width

    text = clean(text) if "\n" not in text else one_line(text)
    text = COMMAND.sub(lambda found: found[0].replace(" ", UNBROKEN), text)
    filled = textwrap.fill(
        text[:1].upper() + text[1:] if first.strip() == "" else text,
        min(width(), 110),
        initial_indent=first,
        subsequent_indent=others,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return filled.replace(UNBROKEN, " ")
