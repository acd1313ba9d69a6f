"""The same stage with its journal on PostgreSQL: on a server of this run, which syncs as servers do."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from tests import postgres
from tests.acceptance.postgres_site import PostgresSite
from tests.bench import fill
from tests.bench.stage import Stage, migrate

# What the tests' server has switched off.
REAL = {"fsync": "on", "autovacuum": "on"}


class PostgresStage(Stage):
    vendor = "postgresql"
    sql = PostgresSite.sql

    def make(self) -> None:
        self.server = self.templates.server
        self.made = self.server.create(self.templates.full)
        self.made.sql("CHECKPOINT")
        self.databases = [self.made]
        self.settings["DATABASES"] = {"default": self.made.settings}

    def raw(self, relaxed: bool = False) -> dict[str, Any]:
        made = self.server.create(self.templates.empty)
        self.databases.append(made)
        place = f"host={self.server.folder} user=postgres dbname={made.name}"
        return {"vendor": self.vendor, "place": place, "relaxed": relaxed}

    def wait_for_later(self, rows: int) -> None:
        self.waiting = rows
        if rows:
            fill.fill_postgresql(self.made, 0, rows)

    def env(self, **more: str) -> dict[str, str]:
        # The locks lie in the user's run folder: one of its own for each stage.
        return super().env(XDG_RUNTIME_DIR=str(self.folder), **more)

    def close(self) -> None:
        super().close()
        for database in self.databases:
            database.drop()


class PostgreSQL:
    """A server, with migrated databases that stages copy: an empty one, and one with its history."""

    stage = PostgresStage

    def __init__(self, folder: Path, history: int) -> None:
        postgres.OPTIONS.update(REAL)
        before, tempfile.tempdir = tempfile.tempdir, str(folder.parent)
        try:
            self.server = postgres.server()
        finally:
            tempfile.tempdir = before
        self.empty, self.full = self.server.create(), self.server.create()
        for made, rows in ((self.empty, 0), (self.full, history)):
            migrate({"DATABASES": {"default": made.settings}}, folder / "none")
            fill.fill_postgresql(made, rows, 0)
