"""The subcommands, one file each: `add` describes it to the parser, `run` does it and returns the exit code.

They work on the journal, whether a daemon runs or not, in a process without gevent. One that does without the journal,
or looks after it by itself, says NEEDS_JOURNAL = False.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys

from ztaskd.cli import Exit


def run(options: argparse.Namespace) -> int:
    """The whole life of a subcommand's process. Returns the exit code."""
    from ztaskd import project

    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # (a terminal that knows no umlauts is no reason to stop)
            stream.reconfigure(errors="backslashreplace")
    try:
        project.setup_django(options)
        project.check_project(fail_fast=True)
        code = _run(options)
        sys.stdout.flush()
        return code
    except project.Refusal as refusal:
        print(f"ztaskd: {refusal}", file=sys.stderr)
        return refusal.code
    except BrokenPipeError:  # `ztaskd list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.CLEAN
    except KeyboardInterrupt:
        print("ztaskd: stopped", file=sys.stderr)
        return Exit.CRASH


def _run(options: argparse.Namespace) -> int:
    from django.db import DatabaseError, InterfaceError

    from ztaskd.project import Refusal, check_journal

    command = importlib.import_module(f"ztaskd.commands.{options.command}")
    try:
        if getattr(command, "NEEDS_JOURNAL", True):
            check_journal()
        return int(command.run(options))
    except (DatabaseError, InterfaceError) as error:
        reason = str(error).strip()
        if "locked" in reason:
            reason += " (another process holds it for longer than this one waits; try again)"
        raise Refusal(Exit.DATABASE, f"the journal cannot be used: {reason}") from None
