"""The one argument parser, for `ztaskd`, `python -m ztaskd` and `manage.py ztaskd`, and the exit codes."""

from __future__ import annotations

import argparse
import importlib
import math
import os
from enum import IntEnum
from typing import NoReturn

from ztaskd.epilog import EPILOG
from ztaskd.http import address


class Exit(IntEnum):
    """Why the process ended."""

    CLEAN = 0
    CRASH = 1  # also: stopped at once by a second signal; what ran is recovered at the next start
    USAGE = 2
    ADDRESS_IN_USE = 3
    PIDFILE = 4
    DATABASE = 5
    NOT_FOUND = 6  # a command was asked about a task that is not there


# The numbers of the logging module, which must not be imported before gevent is patched in.
LEVELS = {"CRITICAL": 50, "ERROR": 40, "WARNING": 30, "INFO": 20, "DEBUG": 10, "NOTSET": 0}

# How a line of the log looks, the daemon's and the reloader's.
LOG_FORMAT = "%(asctime)s %(name)s %(levelname)s %(message)s"

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}

MOST_AGE = 100 * 365.25 * 86400  # a hundred years: what is older has no date

# A file of ztaskd/commands each; --help lists them in this order.
COMMANDS = (
    *("status", "top", "ping", "stop", "list", "show", "explain", "replay", "cancel", "pause", "resume"),
    *("purge", "prune"),
)

# Options that a command does not take.
FOR_THE_DAEMON = (
    *("check", "noreload", "replayfailed", "logfile", "concurrency", "grace", "pidfile", "multiprocess"),
    *("worker_pool_size", "max_tasks_per_child", "max_memory_per_child", "reload_grace", "reload_poll"),
    *("http", "log_format"),
)


class Unclear(Exception):
    """Some of the arguments are not the daemon's options, or wrong ones."""


class _ForTheDaemon(argparse.ArgumentParser):
    """Of whom nobody sees a message."""

    def error(self, message: str) -> NoReturn:
        raise Unclear(message)


def build_parser(program: str = "ztaskd") -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        description="Executes the background tasks of a Django project.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_options(parser)
    _add_commands(parser)
    return parser


def _add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    _add_reloading(parser)
    _add_log(parser)
    add(
        "--replayfailed",
        action="store_true",
        help="queue all failed tasks again, in the order of their calls",
    )
    add("-c", "--concurrency", type=positive, metavar="N", help="slots (default ZTASKD_CONCURRENCY, 100)")
    _add_workers(parser)
    add("--grace", type=seconds, metavar="SECONDS", help="how long a stop waits (default ZTASKD_GRACE, 30)")
    add(
        "--http",
        type=_address,
        metavar="HOST:PORT",
        help="serve /livez, /readyz and /metrics there (default ZTASKD_HTTP: nowhere); a PORT alone is this machine's",
    )
    add("--pidfile", metavar="FILE", help="write the process id to FILE")
    _add_project(parser, None)
    add("--check", action="store_true", help="check settings, database and task modules, and exit")
    add("--version", action=_Version, nargs=0, help="print the version and exit")


def _add_log(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "-l",
        "--loglevel",
        type=_level,
        default=LEVELS["INFO"],
        metavar="LEVEL",
        help=f"{', '.join(LEVELS)} (default INFO)",
    )
    add(
        "--log-format",
        choices=["text", "json"],
        default="text",
        help="json: each line of the log is an object with task_id, function, attempt, duration_ms, ...",
    )
    add("-f", "--logfile", metavar="FILE", help="log to FILE, and what tasks print too (default: stdout)")


def _add_reloading(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--noreload", action="store_true", help="do not reload when code changes (for production)")
    add(
        "--reload-grace",
        type=seconds,
        default=5.0,
        metavar="SECONDS",
        help="at a reload, how long tasks go on in the old code (default 5)",
    )
    add(
        "--reload-poll",
        action="store_true",
        help="look for changes every second, without the system's events",
    )


def _add_workers(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--multiprocess", action="store_true", help="run tasks in child processes unless they say otherwise")
    add(
        "--worker-pool-size",
        type=positive,
        metavar="N",
        help="child processes at most (default: one for each processor)",
    )
    add("--max-tasks-per-child", type=positive, metavar="N", help="replace a child after so many tasks")
    add(
        "--max-memory-per-child",
        type=positive,
        metavar="MIB",
        help="replace a child that has grown to so much",
    )


def _add_project(parser: argparse.ArgumentParser, default: str | None) -> None:
    parser.add_argument(
        "--settings",
        metavar="MODULE",
        default=default,
        help="the settings module (default: DJANGO_SETTINGS_MODULE, or what ./manage.py says)",
    )
    parser.add_argument("--pythonpath", metavar="DIR", default=default, help="a folder to import from")


def _add_commands(parser: argparse.ArgumentParser) -> None:
    common = argparse.ArgumentParser(add_help=False)
    _add_project(common, argparse.SUPPRESS)  # (what stands before the command counts as well)
    commands = parser.add_subparsers(
        dest="command", title="commands (without one, the daemon runs)", metavar="COMMAND"
    )
    for name in COMMANDS:
        importlib.import_module(f"ztaskd.commands.{name}").add(commands, common)


def parse(arguments: list[str]) -> argparse.Namespace:
    """Exits 2 for wrong usage, 0 after --help and --version."""
    program = os.environ.pop("ZTASKD_PROGRAM", "ztaskd")
    # A daemon that starts need not import what the commands consist of (15 ms, 0.8 MiB).
    parser: argparse.ArgumentParser = _ForTheDaemon(program, add_help=False)
    _add_options(parser)
    try:
        options = parser.parse_args(arguments)
        options.command = None
    except Unclear:
        parser = build_parser(program)
        options = parser.parse_args(arguments)
    options.program = program
    if options.command:
        for name in FOR_THE_DAEMON:
            if getattr(options, name) != parser.get_default(name):
                parser.error(f"--{name.replace('_', '-')} is for the daemon, not for `{options.command}`")
    return options


class _Version(argparse.Action):
    """Imports django_ztask (and with it Django) only when asked: gevent is not patched in yet."""

    def __call__(self, parser: argparse.ArgumentParser, *args: object) -> None:
        from django_ztask import __version__

        print(f"ztaskd {__version__}")
        parser.exit()


def _level(text: str) -> int:
    if text.upper() not in LEVELS:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(LEVELS)}")
    return LEVELS[text.upper()]


def _address(text: str) -> address.Address:
    try:
        return address.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def positive(text: str) -> int:
    """A whole number, 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 1 or more")
    return int(text)


def age(text: str) -> float:
    """Seconds, from `90`, `90s`, `30m`, `12h`, `1d` or `2w`."""
    unit = UNITS.get(text[-1:])  # (lower case only: 1M is a month to some)
    try:
        seconds = float(text[:-1]) * unit if unit else float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < MOST_AGE:
        raise argparse.ArgumentTypeError(f"{text!r} is no age: write 90 (seconds), 30m, 12h, 1d or 2w")
    return seconds


def seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds, 0 or more")
    return seconds
