"""Rows of a paused queue that are put aside: how their `pool` says so, and where they belong. Pure.

Claims go by `pool`, which the index of queued rows begins with: what no lane serves costs a look nothing.
"""

from __future__ import annotations

from django_ztask.lifecycle import GREENLET, PROCESS, SUSPECT

# `paused-7`, `paused-7-p`: put aside because of pause number 7, from this pool. (The column has 20 places.)
PREFIX = "paused-"
ENDINGS = {"": "", GREENLET: "-g", PROCESS: "-p", SUSPECT[""]: "-s", SUSPECT[GREENLET]: "-sg"}
_HOMES = {ending: pool for pool, ending in ENDINGS.items()}


def is_aside(pool: object) -> bool:
    return isinstance(pool, str) and pool.startswith(PREFIX)


def home(pool: str) -> str:
    """Where the row belongs when it is not put aside. (What somebody has made up belongs to no place of its own.)"""
    if not is_aside(pool):
        return pool
    _, dash, ending = pool.removeprefix(PREFIX).partition("-")
    return _HOMES.get(dash + ending, "")


def pause(pool: str) -> int | None:
    """The number of the pause because of which it was put aside. None: there is none."""
    digits = pool.removeprefix(PREFIX).partition("-")[0]
    return int(digits) if is_aside(pool) and digits.isascii() and digits.isdecimal() else None
