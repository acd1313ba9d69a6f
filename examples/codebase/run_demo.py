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
    from demo.daemon import Daemon, take_lock
    from demo.sources import choose_folder, find_sources
    from rich.console import Console

    folder, title = choose_folder(argument)
    sources = find_sources(folder)
    VAR.mkdir(exist_ok=True)
    lock = take_lock(VAR / "lock")
    console = Console()
    prepare_django()
    from demo import progress, summary
    from django.conf import settings

    with Daemon(PROJECT, VAR, Path(settings.ZTASKD_URL.removeprefix("ipc://")), lock) as daemon:
        console.print(f"ztaskd runs (process {daemon.pid}); indexing {title}", highlight=False)
        start = time.monotonic()
        ids = enqueue(str(folder), sources)
        console.print(f"{len(ids):,} tasks for {len(sources):,} files handed over", highlight=False)
        counts = progress.follow(len(ids), daemon, console)
        elapsed = time.monotonic() - start
        summary.check_nothing_lost(ids)
        summary.print_summary(console, title, len(sources), ids, counts, elapsed)
        summary.print_what_next(console, PROJECT, daemon.log, counts.failed)
        daemon.stop_cleanly()
    console.print("\nztaskd stopped cleanly", highlight=False)


def prepare_django() -> None:
    """Django, on a fresh database with all its tables."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "codebase.settings"
    import django
    from django.core.management import call_command

    for old in VAR.glob("db.sqlite3*"):
        old.unlink()
    django.setup()
    call_command("migrate", verbosity=0)


def enqueue(folder: str, sources: list[str]) -> dict[str, str]:
    """Hands over two tasks per file; returns task id -> path."""
    from indexer.tasks import analyse_source, read_source

    calls = [(folder, path) for path in sources]
    handles = read_source.map(calls) + analyse_source.map(calls)
    return {handle.id: path for handle, path in zip(handles, sources * 2, strict=True)}


if __name__ == "__main__":
    sys.exit(main())
