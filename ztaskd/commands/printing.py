"""How commands write to a terminal: tables that fit its width, times, ages; and no control character that a row holds."""

from __future__ import annotations

import datetime
import json
import re
import shutil
import sys
import time
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

UNITS = ((86400 * 7, "w"), (86400, "d"), (3600, "h"), (60, "m"))

# On a terminal of fewer columns than this, tables show so many characters of an id (that is its microsecond).
NARROW, SHORT_ID = 132, 18

# The width of a line that nobody looks at in a terminal: nothing is cut.
ENDLESS = 10**6


def width() -> int:
    """Columns of the terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else ENDLESS


def clean(text: object, lines: bool = False) -> str:
    """`text` with what a terminal would obey, or not show, escaped. `lines`: it may have several."""
    kept = "\n\t" if lines else ""
    return "".join(
        c if c.isprintable() or c in kept else c.encode("unicode_escape", "surrogatepass").decode()
        for c in str(text)
    )


def one_line(text: str | None) -> str:
    """The first line of it that says something."""
    return clean(next((line.strip() for line in (text or "").splitlines() if line.strip()), ""))


def without_module(exception: str) -> str:
    """`ConnectError: no route` of `httpx.ConnectError: no route`."""
    return re.sub(r"\A(?:\w+\.)+(?=\w+(?::|\Z))", "", exception)


def columns(text: str) -> int:
    """How many columns of a terminal it takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text
    )


def cut(text: str, room: int, left: bool = False) -> str:
    """At most `room` columns of it: its beginning, or its end (`left`)."""
    if columns(text) <= room:
        return text
    while text and columns(text) > room - 1:
        text = text[1:] if left else text[:-1]
    return ("…" + text if left else text + "…") if room > 0 else ""


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    right: str = "",
    left_cut: int = -1,
    total: int | None = None,
) -> str:
    """Columns under their heads. The column of index `left_cut` loses its beginning when the line is too long (for
    `total` columns; without it, those of the terminal), the last one its end. `right`: heads of columns of numbers."""
    lines = [list(head), *(list(row) for row in rows)]
    sizes = [max(columns(line[n]) for line in lines) for n in range(len(head))]
    total = width() if total is None else total
    spare = total - sum(sizes) - 2 * (len(sizes) - 1)
    if spare < 0 and left_cut >= 0:
        # The last column keeps a third of the line, if it needs that much.
        least = min(sizes[left_cut], max(12, total // 4))
        taken = min(-spare, max(0, sizes[-1] - total // 3))
        sizes[left_cut] = max(least, sizes[left_cut] - max(0, -spare - taken))
    if spare < 0:
        sizes[-1] = max(8, total - sum(sizes[:-1]) - 2 * (len(sizes) - 1))
    return "\n".join(_line(line, sizes, [name in right.split() for name in head], left_cut) for line in lines)


def _line(cells: list[str], sizes: list[int], numbers: list[bool], left_cut: int) -> str:
    shown = []
    for n, (cell, size, number) in enumerate(zip(cells, sizes, numbers, strict=True)):
        cell = cut(cell, size, n == left_cut)
        space = " " * (size - columns(cell))
        shown.append(space + cell if number else cell + space)
    return "  ".join(shown).rstrip()


def local(epoch: float | None) -> str:
    """In the project's time zone, to the second."""
    if epoch is None:
        return "-"
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(epoch))
    except (ValueError, OverflowError, OSError):
        return "no time"


def short_local(epoch: float | None, now: float) -> str:
    """The same in fewer columns: the seconds of today, the minutes of other days."""
    text = local(epoch)
    return text[11:] if text[:10] == local(now)[:10] else text[:16]


def local_and_age(epoch: float | None, now: float) -> str:
    """In the project's time zone, to the millisecond, and how long ago that is, or how far ahead."""
    if epoch is None:
        return "-"
    if local(epoch) == "no time":
        return f"{epoch} (no time)"
    zone = time.strftime("%Z", time.localtime(epoch))
    between = f"{age(now - epoch)} ago" if epoch <= now else f"in {age(epoch - now)}"
    return f"{local(epoch)}.{int(epoch % 1 * 1000):03d} {zone} ({between})"


def age(seconds: float) -> str:
    """`3.2s`, `45s`, `12m`, `5h`, `3d`, `7w`."""
    if seconds < 9.95:
        return f"{max(0.0, seconds):.1f}s"
    for size, name in UNITS:
        if seconds >= (2 * size if name != "m" else 60):
            return f"{seconds / size:,.0f}{name}"
    return f"{seconds:.0f}s"


def number(count: int, what: str) -> str:
    """`1 task`, `12,000 tasks`."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def utc(epoch: float | None) -> str | None:
    """For machines: ISO 8601."""
    if epoch is None:
        return None
    try:
        moment = datetime.datetime.fromtimestamp(epoch, datetime.UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def as_json(value: Any) -> str:
    """One line, in ASCII: safe for every terminal. What JSON cannot carry is written as a text."""
    return json.dumps(value, default=str)
