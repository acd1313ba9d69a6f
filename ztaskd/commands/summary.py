"""What a selection holds, as a table: how many for each task function and exception."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

# Lines of the table; what follows is added up.
MOST = 40


def print_groups(groups: Sequence[Any], moment: str) -> None:
    """`moment`: what happened to them at their oldest and newest time."""
    from ztaskd.commands import printing
    from ztaskd.commands.printing import clean, local, number, one_line, short_local, table

    if not groups:
        return
    now, narrow = time.time(), printing.width() < printing.NARROW

    def when(epoch: float | None) -> str:
        return short_local(epoch, now) if narrow else local(epoch)

    rows = [
        [f"{g.number:,}", clean(g.function), when(g.oldest), when(g.newest), one_line(g.exception) or "-"]
        for g in groups[:MOST]
    ]
    head = ["COUNT", "FUNCTION", f"FIRST {moment.upper()}", f"LAST {moment.upper()}", "EXCEPTION"]
    print(table(head, rows, right="COUNT", left_cut=1))
    if len(groups) > MOST:
        rest = sum(group.number for group in groups[MOST:])
        print(f"... and {number(rest, 'task')} of {len(groups) - MOST:,} other kinds")
