"""The journal of a chaos run, on SQLite or PostgreSQL, and the environment of the processes that use it."""

from __future__ import annotations

import json
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any

from tests.acceptance.daemon import MANAGE, PATIENCE, ROOT
from tests.acceptance.postgres_site import PostgresSite
from tests.acceptance.site import Site
from tests.chaos.checker import Row
from tests.chaos.plan import RETRIES

COLUMNS = "uuid, args, function_name, status, attempts, failures, interruptions, crashes, last_exception, next_attempt"

# Seconds for which a client waits for SQLite's lock: less than a lock may be held, so that calls fail too.
CLIENT_PATIENCE = 1.0

# The kills are ours, not the tasks': by chance one of them may lose its child again and again.
MAX_CRASHES = 10_000

# One state at a time: each has its partial index, and the journal may hold a million finished rows.
COUNT = "SELECT count(*) FROM django_ztask_task WHERE status = "


class SQLiteJournal(Site):
    """One file in `folder`; kept if it is there. `run` is a folder of its own for sockets and locks."""

    def __init__(self, folder: Path, run: Path, lie: str | None) -> None:
        self.folder = folder
        self.database = folder / "journal.sqlite3"
        self.ledger_path = Path("none")
        self.settings = self.project(run, lie)
        self.run = run
        self.lie = lie
        self.prepare()

    def prepare(self) -> None:
        if not self.database.exists():
            _migrate(self.env())

    @staticmethod
    def project(run: Path, lie: str | None) -> dict[str, Any]:
        modules = ["tests.chaos.clock", "tests.chaos.tasks", *(["tests.chaos.lies"] if lie else [])]
        return {
            "ZTASKD_URL": f"ipc://{run}/node",
            "ZTASKD_IMPORTS": modules,
            "ZTASKD_MAX_CRASHES": MAX_CRASHES,
        }

    def env(self, **more: str) -> dict[str, str]:
        # PostgreSQL's locks lie in the user's run folder.
        lie = {"CHAOS_LIE": self.lie} if self.lie else {}
        return super().env(XDG_RUNTIME_DIR=str(self.run), **lie, **more)

    def client_env(self, port: int, **more: str) -> dict[str, str]:
        """The clients' settings: they reach the daemon through the proxy."""
        options = {"transaction_mode": "IMMEDIATE", "timeout": CLIENT_PATIENCE}
        engine = "django.db.backends.sqlite3"
        default = {"ENGINE": engine, "NAME": str(self.database), "OPTIONS": options}
        settings = {"DATABASES": {"default": default}, **self.settings}
        settings |= {"ZTASKD_URL": f"tcp://127.0.0.1:{port}"}
        return self.env(**more, SHOP_SETTINGS=json.dumps(settings))

    def unfinished(self) -> int:
        return sum(int(self.sql(f"{COUNT} '{status}'")[0]) for status in ("QUEUED", "RUNNING"))

    def due_now(self, now: float) -> int:
        """Unfinished tasks that need not wait for a later time."""
        waiting = self.sql(f"{COUNT} 'QUEUED' AND next_attempt <= ?", now)[0]
        return int(waiting) + int(self.sql(f"{COUNT} 'RUNNING'")[0])

    def rows(self, first: str) -> list[Row]:
        """Those with ids from `first` on."""
        charged: dict[str, list[int]] = defaultdict(list)
        query = "SELECT task_id, attempt FROM django_ztask_attempt WHERE task_id >= ?"
        for task_id, attempt in self.sql(query, first):
            charged[task_id].append(attempt)
        found = self.sql(f"SELECT {COLUMNS} FROM django_ztask_task WHERE uuid >= ?", first)
        return [_row(charged.get(values[0], []), *values) for values in found]

    def tidy(self) -> None:
        """Between two rounds."""


class PostgresJournal(SQLiteJournal):
    """A database of the tests' server: it lives as long as this process."""

    sql = PostgresSite.sql

    def prepare(self) -> None:
        from tests import postgres

        self.made = postgres.server().create()
        self.settings["DATABASES"] = {"default": self.made.settings}
        _migrate(self.env())

    def tidy(self) -> None:
        self.made.sql("VACUUM ANALYZE django_ztask_task")  # (the tests' server has no autovacuum)


def _migrate(env: dict[str, str]) -> None:
    command = [*MANAGE[:2], "migrate", "-v0"]
    subprocess.run(command, env=env, cwd=ROOT, check=True, timeout=2 * PATIENCE)


def _row(charged: list[int], *values: Any) -> Row:
    uuid, args, function, status, attempts, failures, interruptions, crashes, reason, due = values
    name = function.rpartition(".")[2]
    return Row(
        uuid,
        json.loads(args)[0],
        status,
        attempts,
        failures,
        interruptions,
        crashes,
        reason,
        float(due),
        RETRIES.get(name, 0),
        tuple(charged),
    )


def first_id(epoch: float) -> str:
    """The least id of a task that was made at `epoch` or later."""
    text = f"{int(epoch * 1000):012x}"
    return f"{text[:8]}-{text[8:]}-0000-0000-000000000000"
