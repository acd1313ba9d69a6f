"""`ztaskd ping`: does a node answer?"""

from __future__ import annotations

import argparse
import sys
from typing import Any

# It works while the database is down.
NEEDS_JOURNAL = False

# Seconds that a node has for its answer, unless somebody says otherwise.
PATIENCE = 2.0

EXAMPLES = """\
One line for each address of ZTASKD_URL: name, process id, version, and the round trip. The database is not asked.

examples:
  ztaskd ping                      is it there?
  ztaskd ping --timeout 0.5 && echo yes

exit codes: 0 a node answers (of several, one is enough), 1 none does, or none takes our messages, 2 usage or settings
"""


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    text = "say which nodes answer, and how fast"
    parser = commands.add_parser(
        "ping",
        help=text,
        description=text.capitalize() + ".",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[common],
    )
    add_timeout(parser)


def add_timeout(parser: argparse.ArgumentParser) -> None:
    from ztaskd.cli import seconds

    parser.add_argument(
        "--timeout",
        type=seconds,
        default=PATIENCE,
        metavar="SECONDS",
        help=f"how long a node has for its answer (default {PATIENCE:g})",
    )


def run(options: argparse.Namespace) -> int:
    from django_ztask.conf import conf
    from ztaskd.cli import Exit
    from ztaskd.commands.nodes import ask_all
    from ztaskd.commands.printing import clean

    answers = ask_all(conf.url, "ping", options.timeout)
    for answer in answers:
        if answer.value is None:
            print("\n".join(map(clean, answer.lines())), file=sys.stderr)
            continue
        node = {name: clean(answer.value.get(name, "?")) for name in ("name", "pid", "version")}
        print(
            f"{node['name']}  pid {node['pid']}  ztaskd {node['version']}  {answer.seconds * 1000:.1f} ms  {answer.url}"
        )
    return Exit.CLEAN if any(answer.value is not None for answer in answers) else Exit.CRASH
