"""Each test has a migrated database of its own, and hears the messages its calls would send. It is an SQLite
file; with the mark `both_databases` each test runs on PostgreSQL as well.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from django.core.management import call_command
from django.db import connections
from django.db.backends.signals import connection_created

from django_ztask import transport, unconfirmed, writer
from tests import postgres
from tests.integration.wire import node  # noqa: F401 - a fixture

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


class Contents(NamedTuple):
    """What a test's database begins with, besides its tables: made once in this process, and copied from then on."""

    name: str
    make: Callable[[], object]


@pytest.fixture
def contents() -> Contents:
    """No row. A test file may have its own."""
    return Contents("empty", lambda: None)


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Contents], Path]:
    """SQLite's, by their contents."""
    folder = tmp_path_factory.mktemp("templates")

    def template(contents: Contents) -> Path:
        path = folder / f"{contents.name}.sqlite3"
        if not path.exists():
            with database_at(path):
                call_command("migrate", verbosity=0)
                contents.make()
        return path

    return template


@pytest.fixture(autouse=True)
def database(
    vendor: str, contents: Contents, templates: Callable[[Contents], Path], tmp_path: Path
) -> Iterator[Path]:
    """The journal is there, for every thread. (Its path, when it is SQLite's.)"""
    connection_created.disconnect(dispatch_uid="ztaskd.slots")  # what a test of the slots has left behind
    for connection in connections.all(initialized_only=True):
        connection.execute_wrappers.clear()
    path = tmp_path / "site.sqlite3"
    if vendor == "postgresql":
        template = postgres.server().template(f"integration, {contents.name}", partial(_fill, contents))
        made = postgres.server().create(template)
        with _postgresql_at(made):
            yield path
        made.drop()
        return
    shutil.copy(templates(contents), path)
    with database_at(path):
        yield path


@contextmanager
def _postgresql_at(made: postgres.Database) -> Iterator[None]:
    before = connections.settings["default"]
    _use({**before, **made.settings, "OPTIONS": {}})
    try:
        yield
    finally:
        _use(before)


def _use(settings: dict[str, Any]) -> None:
    connections["default"].close()
    del connections["default"]
    connections.settings["default"] = settings


def _fill(contents: Contents, made: postgres.Database) -> None:
    with _postgresql_at(made):
        call_command("migrate", verbosity=0)
        contents.make()


@pytest.fixture(autouse=True)
def messages() -> Iterator[Messages]:
    """What is sent, in place of a socket."""
    sent: Messages = []

    def deliver(ids: Sequence[str], later: float | None) -> None:
        sent.append((list(ids), later))

    transport.deliver_to(deliver)
    yield sent
    transport.deliver_to(None)


@pytest.fixture
def writing_thread(database: object, messages: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What confirm=False needs: no node here (as which we pass, hearing messages), and a thread that ends."""
    monkeypatch.setattr(transport, "in_node", lambda: False)
    monkeypatch.setattr(writer, "IDLE", 0.05)
    yield
    threads = [each._thread for each in unconfirmed._writers.values()]
    for thread in threads:
        if thread is not None:
            thread.join(30)
            assert not thread.is_alive()
    unconfirmed._writers.clear()
