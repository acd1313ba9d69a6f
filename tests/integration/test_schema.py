"""The tables: django-ztask's columns with their names and types, and no change that no migration makes."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from tests.integration.conftest import database_at

LEGACY = {
    "uuid": "varchar(36)",
    "function_name": "varchar(255)",
    "args": "text",
    "kwargs": "text",
    "retry_count": "integer",
    "last_exception": "text",
    "next_attempt": "real",
    "created": "datetime",
    "failed": "datetime",
}


def columns(path: Path) -> dict[str, str]:
    database = sqlite3.connect(path)
    try:
        return {row[1]: row[2].lower() for row in database.execute("PRAGMA table_info(django_ztask_task)")}
    finally:
        database.close()


def test_the_models_and_the_migrations_say_the_same() -> None:
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)


def test_the_old_columns_keep_their_names_and_types(database: Path) -> None:
    assert columns(database).items() >= LEGACY.items()


def test_the_first_two_migrations_are_the_old_schema_exactly(tmp_path: Path) -> None:
    old = tmp_path / "old.sqlite3"
    with database_at(old):
        call_command("migrate", "django_ztask", "0001", verbosity=0)
        first = columns(old)
        call_command("migrate", "django_ztask", "0002", verbosity=0)
    assert columns(old) == LEGACY
    assert first == {name: kind for name, kind in LEGACY.items() if name != "created"}


def test_every_migration_can_be_undone(database: Path) -> None:
    call_command("migrate", "django_ztask", "zero", verbosity=0)
    assert columns(database) == {}
    call_command("migrate", "django_ztask", verbosity=0)
    assert columns(database).items() >= LEGACY.items()
    executor = MigrationExecutor(connection)
    assert not executor.migration_plan(executor.loader.graph.leaf_nodes("django_ztask"))
