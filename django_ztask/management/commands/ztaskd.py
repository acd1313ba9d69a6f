"""`manage.py ztaskd`: execs `python -m ztaskd` with the same arguments.

gevent must be patched in before Django is imported, and here Django is imported already: so a fresh
interpreter takes over, with the same pid, settings, sys.path and interpreter flags.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    help = "Runs ztaskd, the daemon that executes background tasks."

    def run_from_argv(self, argv: list[str]) -> NoReturn:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):  # a reader that is gone
                if stream is not None:  # rc.local may have closed it
                    stream.flush()
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # until the daemon takes it: it asks for a report
        flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
        os.execve(sys.executable, [sys.executable, *flags, "-m", "ztaskd", *argv[2:]], environment(argv[0]))

    def print_help(self, prog_name: str, subcommand: str) -> NoReturn:
        self.run_from_argv([prog_name, subcommand, "--help"])

    def handle(self, *args: Any, **options: Any) -> None:
        raise CommandError(
            "ztaskd takes over its whole process, so call_command() cannot start it: run it as a program "
            "(manage.py ztaskd)."
        )


def environment(program: str) -> dict[str, str]:
    """The environment that gives `python -m ztaskd` this process's sys.path (it takes the variable away
    again, so that what tasks start does not inherit it)."""
    env = dict(os.environ)
    env["ZTASKD_PROGRAM"] = f"{os.path.basename(program)} ztaskd"
    env["ZTASKD_SYS_PATH"] = json.dumps([os.path.abspath(entry or os.getcwd()) for entry in sys.path])
    spec = find_spec("ztaskd")
    if spec is not None and spec.origin is not None:
        # The entry through which the new interpreter finds the package at all.
        root = os.path.dirname(os.path.dirname(spec.origin))
        env["ZTASKD_PYTHONPATH"] = env.get("PYTHONPATH", "")
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [root, env.get("PYTHONPATH")]))
    if "-u" in sys.orig_argv[1:]:
        env["PYTHONUNBUFFERED"] = "1"
    return env
