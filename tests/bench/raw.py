"""The limits: the journal's own statements on a bare driver's connection, with no Django and no daemon."""

from __future__ import annotations

import datetime
import json
import sqlite3
import time
from typing import Any

from django_ztask import ids
from django_ztask.sql import postgresql, sqlite

FUNCTION = "tests.bench.tasks.noop"
MAC = "0" * 64
BOOT = "00000000-0000-7000-8000-000000000000"
BATCH = 200  # rows of a transaction of the daemon's


class RawSQLite:
    """`relaxed`: synchronous=NORMAL, as the daemon works; otherwise FULL, as callers do."""

    def __init__(self, place: str, relaxed: bool) -> None:
        self.connection = sqlite3.connect(place, timeout=20, isolation_level=None)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute(f"PRAGMA synchronous = {'NORMAL' if relaxed else 'FULL'}")
        self._insert, self._due, self._claim, self._finish = (
            text.replace("%s", "?") for text in (sqlite.INSERT, sqlite.DUE, sqlite.CLAIM, sqlite.FINISH)
        )

    def begin(self) -> None:
        self.connection.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        self.connection.execute("COMMIT")

    def insert(self, row: tuple[Any, ...]) -> None:
        self.connection.execute(self._insert, row)

    def insert_many(self, rows: list[tuple[Any, ...]]) -> None:
        self.connection.executemany(self._insert, rows)

    def due(self) -> list[str]:
        values = (0, time.time(), "[]", BATCH)
        return [row[0] for row in self.connection.execute(self._due, values)]

    def claim(self, found: list[str]) -> None:
        values = (BOOT, self.stamp(time.time()), json.dumps(found), time.time(), "[]")
        self.connection.execute(self._claim, values).fetchall()

    def finish(self, found: list[str]) -> None:
        self.connection.executemany(self._finish, [finished(task_id, self.stamp) for task_id in found])

    @staticmethod
    def stamp(epoch: float) -> Any:
        """The database's own value of a DateTimeField."""
        return str(datetime.datetime.fromtimestamp(epoch, datetime.UTC).replace(tzinfo=None))


class RawPostgreSQL:
    """`relaxed`: synchronous_commit=off, as the daemon works; otherwise on, as callers do."""

    def __init__(self, place: str, relaxed: bool) -> None:
        import psycopg

        self.connection = psycopg.connect(place, autocommit=True)
        self.connection.execute(f"SET synchronous_commit = {'off' if relaxed else 'on'}")
        self.cursor = self.connection.cursor()

    def begin(self) -> None:
        self.cursor.execute("BEGIN")

    def commit(self) -> None:
        self.cursor.execute("COMMIT")

    def insert(self, row: tuple[Any, ...]) -> None:
        self.cursor.execute(postgresql.INSERT, row)

    def insert_many(self, rows: list[tuple[Any, ...]]) -> None:
        postgresql.insert(self.cursor, rows)

    def due(self) -> list[str]:
        self.cursor.execute(postgresql.DUE, [0, time.time(), [], BATCH])
        return [row[0] for row in self.cursor.fetchall()]

    def claim(self, found: list[str]) -> None:
        self.cursor.execute(postgresql.CLAIM, [BOOT, self.stamp(time.time()), found, time.time(), []])
        self.cursor.fetchall()

    def finish(self, found: list[str]) -> None:
        if found:
            postgresql.finish(self.cursor, [finished(task_id, self.stamp) for task_id in found])

    @staticmethod
    def stamp(epoch: float) -> Any:
        return datetime.datetime.fromtimestamp(epoch, datetime.UTC)


Raw = RawSQLite | RawPostgreSQL


def connect(order: dict[str, Any]) -> Raw:
    """As the order's `raw` says: {"vendor", "place", "relaxed"}."""
    raw = order["raw"]
    kind = RawPostgreSQL if raw["vendor"] == "postgresql" else RawSQLite
    return kind(raw["place"], raw.get("relaxed", False))


def rows(raw: Raw, first: int, count: int) -> list[tuple[Any, ...]]:
    """What a caller would insert for these numbers; they are due now."""
    now, made = time.time(), ids.new(count)
    return [
        (
            task_id,
            FUNCTION,
            f"[{first + n}]",
            "{}",
            2,
            now,
            raw.stamp(created / 1e6),
            "default",
            0,
            "json",
            MAC,
            None,
        )
        for n, (task_id, created) in enumerate(made)
    ]


def finished(task_id: str, stamp: Any) -> tuple[Any, ...]:
    """The values of FINISH for a success."""
    now = stamp(time.time())
    return ("SUCCEEDED", 2, time.time(), now, now, None, 0, 0, "null", None, None, BOOT, task_id, BOOT, 1)
