"""The subcommands, one file each: `add` describes it to the parser, `run` does it and returns the exit code.

They work on the journal, whether a daemon runs or not, in a process without gevent.
"""

from __future__ import annotations

import argparse
import importlib
import signal
import sys

from ztaskd.cli import Exit


def run(options: argparse.Namespace) -> int:
    """The whole life of a subcommand's process. Returns the exit code."""
    from ztaskd import project

    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        project.setup_django(options)
        project.check_project(fail_fast=True)
        project.check_journal()
        return int(importlib.import_module(f"ztaskd.commands.{options.command}").run(options))
    except project.Refusal as refusal:
        print(f"ztaskd: {refusal}", file=sys.stderr)
        return refusal.code
    except KeyboardInterrupt:
        print("ztaskd: stopped", file=sys.stderr)
        return Exit.CRASH
