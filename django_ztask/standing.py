"""How the journal stands: how many tasks wait, run and have failed, which waits longest, and which nodes it knows. As
fast with millions of rows as with ten, and nobody waits for it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from django_ztask import looking
from django_ztask.sql import standing as texts

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper as Connection

# No more than so many are counted, unless somebody says otherwise.
MOST = 100_000

# Kinds of queued rows (pool and priority) that are looked at.
MOST_KINDS = 200

# Running tasks of a boot that are read.
MOST_RUNS = 1000

LEAST_PRIORITY = -(2**15) - 1  # less than the least


def standing(connection: Connection) -> dict[str, Any]:
    """`queued`, `due`, `running`, `failed`: numbers; those named in `at_least` were not counted to their end. `oldest`:
    the task that has been due the longest, with its `age` in seconds. `claims`: how many tasks each boot runs.
    `last_success` (epoch seconds). `nodes`: as looking.nodes has them."""
    now = time.time()
    with looking.walking(connection) as cursor:
        oldest, due = _due(cursor, now)
        found: dict[str, Any] = {
            "queued": _count(cursor, texts.OF["QUEUED"]),
            "due": due,
            "running": _count(cursor, texts.OF["RUNNING"]),
            "failed": _count(cursor, texts.OF["FAILED"]),
        }
        cursor.execute(texts.CLAIMS)
        claims = {str(boot): int(number) for boot, number in cursor.fetchall()}
        cursor.execute(texts.LAST_SUCCESS)
        last = looking.epoch(connection, cursor.fetchone()[0])
    at_least = [name for name, number in found.items() if number > MOST]
    found = {name: min(number, MOST) for name, number in found.items()}
    if oldest is not None:
        oldest = {**oldest, "age": now - oldest["due"]}
    return {
        **found,
        "at_least": at_least,
        "oldest": oldest,
        "claims": claims,
        "last_success": last,
        "nodes": looking.nodes(connection),
    }


def runs(connection: Connection, boots: Sequence[str]) -> list[tuple[str, float | None]]:
    """Function, and when it was claimed (epoch seconds), of tasks that these boots hold: the oldest first."""
    found = []
    with looking.walking(connection) as cursor:
        for boot in dict.fromkeys(boots):
            cursor.execute(texts.RUNS, [boot, MOST_RUNS])
            found += [(str(name), looking.epoch(connection, claimed)) for name, claimed in cursor.fetchall()]
    return sorted(found, key=lambda each: each[1] or 0.0)


def _count(cursor: Any, where: str, values: Sequence[Any] = (), most: int = MOST) -> int:
    """One more than `most` stands for more than that."""
    cursor.execute(texts.COUNT.format(where=where), [*values, most + 1])
    return int(cursor.fetchone()[0])


def _due(cursor: Any, now: float) -> tuple[dict[str, Any] | None, int]:
    """The oldest of all kinds, and how many there are."""
    oldest, due = None, 0
    for pool, priority in list(_kinds(cursor)):
        cursor.execute(texts.OLDEST, [pool, priority, now])
        row = cursor.fetchone()
        if row is None:
            continue
        found = dict(zip(texts.OLDEST_COLUMNS, row, strict=True))
        if oldest is None or found["due"] < oldest["due"]:
            oldest = found
        if due <= MOST:
            due += _count(cursor, texts.DUE, [pool, priority, now], MOST - due)
    return oldest, due


def _kinds(cursor: Any) -> Iterator[tuple[str, int]]:
    """Pool and priority of queued rows."""
    kinds, pool = 0, ""  # (the first there is, whether there is anything of it or not)
    while pool is not None:
        priority = _next(cursor, texts.NEXT_PRIORITY, pool, LEAST_PRIORITY)
        while priority is not None and kinds < MOST_KINDS:
            kinds += 1
            yield pool, priority
            priority = _next(cursor, texts.NEXT_PRIORITY, pool, priority)
        pool = _next(cursor, texts.NEXT_POOL, pool)


def _next(cursor: Any, select: str, *values: Any) -> Any:
    cursor.execute(select, values)
    return cursor.fetchone()[0]
