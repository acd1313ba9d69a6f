"""Each test has a migrated SQLite file of its own, and hears the messages its calls would send."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connections

from django_ztask import transport

Messages = list[tuple[list[str], float | None]]


@contextmanager
def database_at(path: Path) -> Iterator[None]:
    """Every connection that is opened from now on, in any thread, goes to `path`."""
    settings = connections.settings["default"]
    before = settings["NAME"]
    settings["NAME"] = str(path)
    try:
        yield
    finally:
        connections.close_all()
        settings["NAME"] = before


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "site.sqlite3"
    with database_at(path):
        call_command("migrate", verbosity=0)
    return path


@pytest.fixture(autouse=True)
def database(template: Path, tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "site.sqlite3"
    shutil.copy(template, path)
    with database_at(path):
        yield path


@pytest.fixture(autouse=True)
def messages() -> Iterator[Messages]:
    """What is sent, in place of a socket."""
    sent: Messages = []

    def deliver(ids: Sequence[str], later: float | None) -> None:
        sent.append((list(ids), later))

    transport.deliver_to(deliver)
    yield sent
    transport.deliver_to(None)
