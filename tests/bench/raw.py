"""The limits: the journal's own statements on a bare driver's connection, with no Django and no daemon."""

from __future__ import annotations

import datetime
import functools
import sqlite3
import time
from typing import Any

from django_ztask import ids
from django_ztask.sql import postgresql, sqlite

FUNCTION = "tests.bench.tasks.noop"
MAC = "0" * 64
BOOT = "00000000-0000-7000-8000-000000000000"
BATCH = 200  # rows of a transaction of the daemon's


class Cursor(sqlite3.Cursor):
    """Takes the statements as they stand in sql/: written for Django's parameters."""

    def execute(self, statement: str, values: Any = ()) -> Any:
        return super().execute(_plain(statement), values)

    def executemany(self, statement: str, values: Any) -> Any:
        return super().executemany(_plain(statement), values)


@functools.cache
def _plain(statement: str) -> str:
    return statement.replace("%s", "?").replace("%%", "%")


class Raw:
    """A connection of the bare driver in autocommit mode, and the statements of its database."""

    statements: Any
    cursor: Any
    begin_statement = "BEGIN"

    def begin(self) -> None:
        self.cursor.execute(self.begin_statement)

    def commit(self) -> None:
        self.cursor.execute("COMMIT")

    def insert(self, row: tuple[Any, ...]) -> None:
        self.cursor.execute(self.statements.INSERT, row)

    def insert_many(self, rows: list[tuple[Any, ...]]) -> None:
        self.statements.insert(self.cursor, rows)

    def due(self) -> list[str]:
        return list(self.statements.due(self.cursor, [""], 0, time.time(), [], BATCH))

    def claim(self, found: list[str]) -> None:
        if found:
            now = time.time()
            self.statements.claim(self.cursor, BOOT, self.stamp(now), found, now, [], [""])

    def succeed(self, found: list[str]) -> None:
        now = self.stamp(time.time())
        rows = [(task_id, BOOT, 1, now, now, "null") for task_id in found]
        changed = self.statements.succeed(self.cursor, rows)
        if changed != len(found):
            raise RuntimeError(f"{changed} of {len(found)} rows were finished")

    @staticmethod
    def stamp(epoch: float) -> Any:
        """The database's own value of a DateTimeField."""
        return datetime.datetime.fromtimestamp(epoch, datetime.UTC)


class RawSQLite(Raw):
    """`relaxed`: synchronous=NORMAL, as the daemon works; otherwise FULL, as callers do."""

    statements = sqlite
    begin_statement = "BEGIN IMMEDIATE"

    def __init__(self, place: str, relaxed: bool) -> None:
        connection = sqlite3.connect(place, timeout=20, isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {'NORMAL' if relaxed else 'FULL'}")
        self.cursor = connection.cursor(Cursor)

    @staticmethod
    def stamp(epoch: float) -> Any:
        return str(datetime.datetime.fromtimestamp(epoch, datetime.UTC).replace(tzinfo=None))


class RawPostgreSQL(Raw):
    """`relaxed`: synchronous_commit=off, as the daemon works; otherwise on, as callers do."""

    statements = postgresql

    def __init__(self, place: str, relaxed: bool) -> None:
        import psycopg

        connection = psycopg.connect(place, autocommit=True)
        connection.execute(f"SET synchronous_commit = {'off' if relaxed else 'on'}")
        self.cursor = connection.cursor()


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
            "",
        )
        for n, (task_id, created) in enumerate(made)
    ]
