"""Fixtures: PostgreSQL, and old sites on both databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.postgres import postgres
from tests.upgrade.oldsite import OldSite, PostgresSite, SqliteSite

__all__ = ["postgres"]


@pytest.fixture(params=["sqlite", "postgresql"])
def old_site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OldSite]:
    """A site whose database is empty, on each database."""
    if request.param == "sqlite":
        yield SqliteSite(tmp_path)
        return
    database = request.getfixturevalue("postgres").create()
    yield PostgresSite(tmp_path, database)
    database.drop()


@pytest.fixture
def sqlite_site(tmp_path: Path) -> SqliteSite:
    return SqliteSite(tmp_path)


@pytest.fixture
def fill() -> Callable[..., None]:
    """Makes an old table and fills it."""

    def make(site: OldSite, rows: list[tuple[object, ...]], created: str | None = None) -> None:
        site.create_table(created)
        site.insert(rows, created is not None)

    return make
