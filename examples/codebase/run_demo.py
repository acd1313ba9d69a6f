#!/usr/bin/env python
"""Indexes a folder of real source files with a real ztaskd: python run_demo.py [FOLDER].

Exit status: 0 all tasks are done, 1 the run went wrong, 2 it could not begin, 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn

from demo.errors import RunError, UsageError

PROJECT = Path(__file__).resolve().parent
VAR = PROJECT / "var"
PORTION = 100  # files


def main() -> int:
    parser = argparse.ArgumentParser(description="Index a folder of Python files with ztaskd.")
    parser.add_argument("folder", nargs="?", help="default: the standard library of this Python")
    folder = parser.parse_args().folder
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)  # as Ctrl-C: the daemon must not be left behind
    try:
        check_requirements()
        run(folder)
    except UsageError as error:
        print(f"run_demo: {error}", file=sys.stderr)
        return 2
    except RunError as error:
        print(f"run_demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as error:
        print("run_demo: interrupted, ztaskd is stopped", file=sys.stderr)
        return 128 + (error.args[0] if error.args else signal.SIGINT)
    return 0


def interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt(number)


def check_requirements() -> None:
    for package in ("django", "django_ztask", "ztaskd", "rich"):
        try:
            __import__(package)
        except ModuleNotFoundError as error:
            raise UsageError(
                f"{error.name} is not installed: run `pip install -e '.[demo]'` at the top of the checkout"
            ) from None


def run(argument: str | None) -> None:
    """One run from the empty database to the summary."""
    from demo.guard import take_lock
    from demo.sources import choose_folder, find_sources
    from rich.console import Console
    from rich.markup import escape

    codebase = choose_folder(argument)
    sources = find_sources(codebase.folder)
    VAR.mkdir(exist_ok=True)
    lock = take_lock(VAR / "lock")
    console = Console(highlight=False)
    prepare_django()
    from demo import progress, summary
    from demo.daemon import Daemon

    with Daemon(PROJECT, VAR, lock) as daemon:
        console.print(f"ztaskd is running, process {daemon.pid}")
        console.print(f"Indexing {escape(codebase.title)}: {len(sources):,} files, two tasks each")
        console.print(f"Reading runs in the daemon's slots; analysing, which computes, in {children()}")
        start = time.monotonic()
        ids = enqueue(str(codebase.folder), sources)
        counts = progress.follow(len(ids), daemon, console)
        elapsed = time.monotonic() - start
        summary.check_nothing_lost(ids)
        summary.print_summary(console, codebase, ids, counts, elapsed)
        summary.print_what_next(console, PROJECT, daemon.log, counts.failed)
        daemon.stop_cleanly()
    console.print("\nztaskd stopped cleanly")


def children() -> str:
    """How many child processes the daemon starts: one for each processor."""
    number = os.cpu_count() or 1
    return "1 child process" if number == 1 else f"{number} child processes"


def prepare_django() -> None:
    """Django, on a fresh database with all its tables."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "codebase.settings"
    import django
    from demo.guard import refuse_if_served
    from django.conf import settings
    from django.core.management import call_command

    refuse_if_served(settings.ZTASKD_URL)
    for name in ("db.sqlite3", "db.sqlite3-wal", "db.sqlite3-shm"):
        (VAR / name).unlink(missing_ok=True)
    django.setup()
    call_command("migrate", verbosity=0)


def enqueue(folder: str, sources: list[str]) -> dict[str, str]:
    """Hands over two tasks per file; returns task id -> path."""
    from indexer.tasks import analyse_source, read_source

    ids: dict[str, str] = {}
    # Tasks start in the order of their calls, in the slots and in the child processes. In portions, so that both
    # have work from the beginning.
    for at in range(0, len(sources), PORTION):
        calls = [(folder, path) for path in sources[at : at + PORTION]]
        for function in (read_source, analyse_source):
            handles = function.map(calls)
            ids.update((handle.id, path) for handle, (_, path) in zip(handles, calls, strict=True))
    return ids


if __name__ == "__main__":
    sys.exit(main())
