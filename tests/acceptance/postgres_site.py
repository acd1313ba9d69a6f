"""The same site, with its journal on PostgreSQL."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from tests import postgres
from tests.acceptance.daemon import MANAGE, PATIENCE, ROOT
from tests.acceptance.site import Site


class PostgresSite(Site):
    """One project on one PostgreSQL database, with one node's address."""

    def __init__(self, folder: Path, template: Path, **settings: Any) -> None:
        self.made = postgres.server().create(postgres.server().template("acceptance", _migrate))
        databases = {"default": self.made.settings}
        super().__init__(folder, template, DATABASES=databases, **settings)

    def env(self, **more: str) -> dict[str, str]:
        # The locks lie in the user's run folder: one of its own for each test.
        return super().env(XDG_RUNTIME_DIR=str(self.folder), **more)

    def sql(self, statement: str, *values: Any) -> list[Any]:
        return self.made.sql(statement.replace("?", "%s"), *values)

    def task(self, task_id: str) -> dict[str, Any]:
        from psycopg.rows import dict_row

        with self.made.connect(row_factory=dict_row) as connection:
            query = "SELECT * FROM django_ztask_task WHERE uuid = %s"
            return dict(connection.execute(query, [task_id]).fetchone())

    def close(self) -> None:
        super().close()
        self.made.drop()


def _migrate(made: postgres.Database) -> None:
    site = Site.__new__(Site)
    site.database, site.ledger_path = Path("none"), Path("none")
    site.settings = {"DATABASES": {"default": made.settings}}
    subprocess.run([*MANAGE[:2], "migrate", "-v0"], env=site.env(), cwd=ROOT, check=True, timeout=PATIENCE)
