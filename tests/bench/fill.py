"""Rows that were there before: a history of finished tasks, and tasks that wait for later. Written by SQL, quickly.

They look like what ztaskd writes, except that their MACs are none: no node ever runs them. Their numbers are none that
a workload uses.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from pathlib import Path
from typing import Any

# Finished within the last hours (ZTASKD_KEEP is a day); due in some days.
HOURS, DAYS = 12 * 3600.0, 3 * 86400.0

COLUMNS = """uuid, function_name, args, kwargs, retry_count, next_attempt, created, status, queue, priority, codec, mac,
    attempts, failures, crashes, interruptions, replays, node, claimed, started, finished, result"""

NODE = "00000000-0000-7000-8000-000000000001"

# `n`: the number, `made`: when it was called, `due`: when it was or is due (epoch seconds).
SQLITE = """WITH RECURSIVE row (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM row WHERE n + 1 < {count}),
    made AS (SELECT n, {first} + n * {step} AS made, {first} + n * {step} + {delay} AS due FROM row)
    INSERT INTO django_ztask_task ({columns})
    SELECT substr(printf('%012x', CAST(made * 1000 AS INTEGER)), 1, 8) || '-'
        || substr(printf('%012x', CAST(made * 1000 AS INTEGER)), 9, 4) || printf('-7%03x-8%03x-', n % 4096, n / 4096 % 4096)
        || lower(hex(randomblob(6))), 'tests.bench.tasks.noop', '[' || (50000000 + n) || ']', '{{}}', 2, due,
        {stamp}, '{status}', 'default', 0, 'json', lower(hex(randomblob(32))),
        {finished}, 0, 0, 0, 0, {node}, {ended}, {ended}, {ended}, {result} FROM made"""

POSTGRESQL = """INSERT INTO django_ztask_task ({columns})
    SELECT substr(hex, 1, 8) || '-' || substr(hex, 9, 4) || '-7' || lpad(to_hex(n % 4096), 3, '0') || '-8'
        || lpad(to_hex(n / 4096 % 4096), 3, '0') || '-' || substr(md5(n::text), 1, 12),
        'tests.bench.tasks.noop', '[' || (50000000 + n) || ']', '{{}}', 2, due, {stamp}, '{status}', 'default', 0, 'json',
        md5(n::text) || md5(hex), {finished}, 0, 0, 0, 0, {node}, {ended}, {ended}, {ended}, {result}
    FROM (SELECT n, made, made + {delay} AS due, lpad(to_hex((made * 1000)::bigint), 12, '0') AS hex
          FROM (SELECT n, {first} + n * {step} AS made FROM generate_series(0, {count} - 1) AS n) AS row) AS made"""

STAMPS = {
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f', made, 'unixepoch')",
    "postgresql": "to_timestamp(made)",
}


def statement(vendor: str, count: int, waiting: bool) -> str:
    """Inserts `count` rows, evenly over the last hours: SUCCEEDED, or QUEUED for some days later."""
    stamp = STAMPS[vendor]
    values: dict[str, Any] = {
        "columns": COLUMNS,
        "count": count,
        "first": time.time() - HOURS,
        "step": (HOURS - 60) / count,
        "delay": DAYS if waiting else 0.0,
        "status": "QUEUED" if waiting else "SUCCEEDED",
        "stamp": stamp,
        "finished": 0 if waiting else 1,
        "node": "NULL" if waiting else f"'{NODE}'",
        "ended": "NULL" if waiting else stamp,
        "result": "NULL" if waiting else "'null'",
    }
    return (SQLITE if vendor == "sqlite" else POSTGRESQL).format(**values)


def fill_sqlite(database: Path, history: int, waiting: int) -> None:
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        for count, later in ((history, False), (waiting, True)):
            if count:
                connection.execute(statement("sqlite", count, later))
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    to_disk(database)


def to_disk(path: Path) -> None:
    """What was written must not be on its way to the disk while something is measured."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def fill_postgresql(database: Any, history: int, waiting: int) -> None:
    for count, later in ((history, False), (waiting, True)):
        if count:
            database.sql(statement("postgresql", count, later))
    database.sql("VACUUM ANALYZE django_ztask_task")
    database.sql("CHECKPOINT")
