"""A site as django-ztask 0.1 left it: its table in one of its shapes, and the commands that upgrade it.

Commands run as processes, as an operator runs them. Nothing in here sets Django up.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

from django_ztask import serialize
from django_ztask.conf import _derive
from tests.postgres import Database

ROOT = Path(__file__).resolve().parents[2]
MANAGE = [sys.executable, str(ROOT / "tests" / "project" / "manage.py")]
PATIENCE = 120.0

COLUMNS = [
    "uuid",
    "function_name",
    "args",
    "kwargs",
    "retry_count",
    "last_exception",
    "next_attempt",
    "failed",
]

# As syncdb made it.
TABLE = """CREATE TABLE django_ztask_task (
    uuid varchar(36) NOT NULL PRIMARY KEY, function_name varchar(255) NOT NULL, args text NOT NULL,
    kwargs text NOT NULL, retry_count integer NOT NULL, last_exception text NULL,
    next_attempt {float} NULL, failed {datetime} NULL{created})"""

LOOK = """SELECT uuid, function_name, status, codec, mac, args, kwargs, last_exception, next_attempt, queue,
    priority, created, failed, finished FROM django_ztask_task"""


class OldSite:
    """What both databases have in common."""

    types: dict[str, str]

    def __init__(self, folder: Path, database: dict[str, Any]) -> None:
        self.folder = folder
        self.ledger = folder / "ledger"
        self.python_path = [str(ROOT)]
        self.settings: dict[str, Any] = {
            "DATABASES": {"default": database},
            "ZTASKD_URL": f"ipc://{folder}/node",
        }

    def sql(self, statement: str, *values: Any) -> list[Any]:
        raise NotImplementedError

    def sql_many(self, statement: str, rows: list[tuple[Any, ...]]) -> None:
        raise NotImplementedError

    def env(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("ZTASKD_", "SHOP_", "DJANGO_"))}
        return {
            **kept,
            "PYTHONPATH": os.pathsep.join(self.python_path),
            "DJANGO_SETTINGS_MODULE": "tests.project.settings",
            "SHOP_SETTINGS": json.dumps(self.settings),
            "SHOP_LEDGER": str(self.ledger),
        }

    def run(self, *command: str, exit_code: int = 0) -> str:
        """What the command printed."""
        done = subprocess.run(
            command, env=self.env(), cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert done.returncode == exit_code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def manage(self, *arguments: str, exit_code: int = 0) -> str:
        return self.run(*MANAGE, *arguments, exit_code=exit_code)

    def tasks(self) -> list[dict[str, Any]]:
        """All tasks, in the order in which a replay starts them; `call` is what the daemon would decode,
        once it has verified it."""
        names = re.findall(r"\w+", LOOK)[1:-2]
        tasks = [dict(zip(names, row, strict=True)) for row in self.sql(LOOK)]
        key = _derive("row", "only for tests")
        for task in tasks:
            payload = serialize.Payload(task["codec"], task["args"], task["kwargs"])
            serialize.verify(task["uuid"], task["function_name"], payload, task["mac"], [key])
            for name in ("created", "failed", "finished"):
                task[name] = self.moment(task[name])
            if task["codec"] != serialize.LEGACY:
                args, kwargs = serialize.load_call(payload.codec, payload.args, payload.kwargs)
                task["call"] = repr((tuple(args), kwargs))
        return sorted(tasks, key=lambda task: (task["created"], task["uuid"]))

    def moment(self, value: Any) -> str | None:
        """A time in the journal, in UTC, as ISO has it."""
        raise NotImplementedError

    def create_table(self, created: str | None = None) -> None:
        """`created` is that column's type; None leaves it out."""
        column = "" if created is None else f", created {self.types.get(created, created)} NULL"
        self.sql(TABLE.format(created=column, **self.types))

    def insert(self, rows: list[tuple[Any, ...]], created: bool) -> None:
        names = [*COLUMNS, "created"] if created else COLUMNS
        places = ", ".join(["?"] * len(names))
        statement = f"INSERT INTO django_ztask_task ({', '.join(names)}) VALUES ({places})"
        self.sql_many(statement, [row[: len(names)] for row in rows])


class SqliteSite(OldSite):
    types = {"float": "real", "datetime": "datetime"}

    def __init__(self, folder: Path) -> None:
        self.path = folder / "old.sqlite3"
        options = {"transaction_mode": "IMMEDIATE", "timeout": 20}
        engine = "django.db.backends.sqlite3"
        super().__init__(folder, {"ENGINE": engine, "NAME": str(self.path), "OPTIONS": options})

    def sql(self, statement: str, *values: Any) -> list[Any]:
        with contextlib.closing(sqlite3.connect(self.path, timeout=20, isolation_level=None)) as database:
            rows = database.execute(statement, values).fetchall()
        return [row[0] if len(row) == 1 else row for row in rows]

    def sql_many(self, statement: str, rows: list[tuple[Any, ...]]) -> None:
        with contextlib.closing(sqlite3.connect(self.path, timeout=20)) as database:
            database.executemany(statement, rows)
            database.commit()

    def moment(self, value: Any) -> str | None:
        if value is None:
            return None
        assert value == str(datetime.datetime.fromisoformat(value))  # as Django writes it, to the letter
        return datetime.datetime.fromisoformat(value).replace(tzinfo=datetime.UTC).isoformat()


class PostgresSite(OldSite):
    types = {"float": "double precision", "datetime": "timestamp with time zone"}

    def __init__(self, folder: Path, database: Database) -> None:
        self.database = database
        super().__init__(folder, database.settings)

    def sql(self, statement: str, *values: Any) -> list[Any]:
        return self.database.sql(statement.replace("?", "%s"), *values)

    def sql_many(self, statement: str, rows: list[tuple[Any, ...]]) -> None:
        with self.database.connect() as connection, connection.cursor() as cursor:
            cursor.executemany(statement.replace("?", "%s"), rows)

    def moment(self, value: Any) -> str | None:
        return None if value is None else value.astimezone(datetime.UTC).isoformat()
