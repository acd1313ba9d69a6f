"""The options by which commands select tasks, and what they mean: a Filter."""

from __future__ import annotations

import argparse
import datetime
import math
import shlex
import time
from typing import Any, NamedTuple

EPILOG = """\
GLOB is a shell's pattern (put it in quotes): *, ?, [a-z], [!a-z]. NAME is the type of an exception, with or without
its module, and may be a pattern. WHEN is an age (90 seconds, 30m, 12h, 1d, 2w) or a time (2026-05-01, or
'2026-05-01 14:30'), in the project's time zone unless it names its own. ID is the id of a task, or enough of its beginning.
"""

CODES = """\
exit codes: 0 done (also when no task matched), 1 stopped, or not confirmed, 2 usage or settings, 5 database
unreachable, locked or not migrated, 6 no such task, or several that begin so
"""


class Moment(NamedTuple):
    """A time as it was typed, and what it meant then (epoch seconds)."""

    text: str
    epoch: float


def add_selection(
    parser: argparse.ArgumentParser, moment: str, limit: str, default: int | None = None
) -> None:
    """`moment` says which time of a task --since and --until are about."""
    from ztaskd.cli import positive

    group = parser.add_argument_group("which tasks")
    group.add_argument("--function", type=_pattern, metavar="GLOB", help="of these task functions")
    group.add_argument("--exception", type=_pattern, metavar="NAME", help="whose last failure was this")
    group.add_argument("--since", type=when, metavar="WHEN", help=f"{moment} since then")
    group.add_argument("--until", type=when, metavar="WHEN", help=f"{moment} before then")
    group.add_argument("--id", action="append", metavar="ID", help="this one (may be given several times)")
    group.add_argument("--queue", metavar="NAME", help="of this queue")
    group.add_argument("--limit", type=positive, metavar="N", default=default, help=limit)


def add_for_one_task(
    commands: Any, common: argparse.ArgumentParser, name: str, text: str, examples: str
) -> None:
    """A command that tells of a single task; `text` says what."""
    parser = commands.add_parser(
        name,
        help=text,
        description=text.capitalize() + ".",
        epilog=f"{examples}\n{CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[common],
    )
    parser.add_argument("id", metavar="ID", help="a task's id, or the beginning of it")
    parser.add_argument("--json", action="store_true", help="as one JSON object, for programs")


def when(text: str) -> Moment:
    """The moment of an age (before now) or of a time. Raises ArgumentTypeError."""
    from ztaskd.cli import age

    try:
        return Moment(text, time.time() - age(text))
    except argparse.ArgumentTypeError:
        pass
    try:
        moment = datetime.datetime.fromisoformat(text)
        if moment.tzinfo is None:
            return Moment(text, math.nan)  # by the project's time zone: once its settings are read
        return Moment(text, moment.timestamp())
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time: write an age (90 seconds, 30m, 12h, 1d, 2w) or 2026-05-01, '2026-05-01 14:30'"
        ) from None


def _pattern(text: str) -> str:
    from django_ztask import filters

    try:
        filters.glob(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no pattern: {error}") from None
    return text


def wanted(options: argparse.Namespace, connection: Any) -> Any:
    """The Filter. Raises Refusal for an id that is none."""
    from django_ztask.filters import Filter

    ids = None if options.id is None else tuple(find(connection, text) for text in options.id)
    return Filter(
        function=options.function,
        exception=options.exception,
        since=_epoch(options.since),
        until=_epoch(options.until),
        ids=ids,
        queue=options.queue,
    )


def _epoch(moment: Moment | None) -> float | None:
    from ztaskd.cli import Exit
    from ztaskd.project import Refusal

    if moment is None or not math.isnan(moment.epoch):
        return None if moment is None else moment.epoch
    try:
        return datetime.datetime.fromisoformat(moment.text).astimezone().timestamp()
    except (ValueError, OverflowError):
        raise Refusal(Exit.USAGE, f"{moment.text!r} is a time beyond all calendars") from None


def words(options: argparse.Namespace) -> str:
    """The selection as it would be typed again."""
    said: list[str] = []
    for name in ("function", "exception", "since", "until", "queue", "limit"):
        value = getattr(options, name)
        if value is not None:
            said += [f"--{name}", value.text if isinstance(value, Moment) else str(value)]
    for text in options.id or ():
        said += ["--id", text]
    return shlex.join(said)


def find(connection: Any, prefix: str) -> str:
    """The one id that begins so. Raises Refusal."""
    from django_ztask import looking
    from ztaskd.cli import Exit
    from ztaskd.commands.printing import clean
    from ztaskd.project import Refusal

    found = looking.begins(connection, prefix)
    if len(found) == 1:
        return found[0]
    if not found:
        raise Refusal(
            Exit.NOT_FOUND,
            f"there is no task {clean(prefix)!r}: it was rolled back, pruned or deleted, or belongs to another database",
        )
    listed = "\n  ".join(clean(task_id) for task_id in found[:5]) + ("\n  ..." if len(found) > 5 else "")
    raise Refusal(
        Exit.NOT_FOUND, f"several tasks begin with {clean(prefix)!r}; write more of the id:\n  {listed}"
    )
