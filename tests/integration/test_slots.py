"""What slots do with Django's connections, and with rows that cannot be what they should."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.db.backends.signals import connection_created

from django_ztask.lifecycle import Kind, Outcome
from django_ztask.models import Task
from tests.integration.helpers import claim, claim_new, ending, record
from ztaskd import cleaning, slots


@pytest.fixture
def opened() -> Iterator[list[Any]]:
    """The connections that are opened from now on."""
    found: list[Any] = []

    def note(connection: Any, **kwargs: Any) -> None:
        found.append(connection)

    connection_created.connect(note, weak=False)
    yield found
    connection_created.disconnect(note)


def test_cleaning_up_opens_no_connection(opened: list[Any]) -> None:
    assert connections["default"].connection is None
    cleaning.clean_connections()
    Task.objects.count()
    for _ in range(3):
        cleaning.clean_connections()
    assert len(opened) == 1


def test_a_connection_that_cannot_be_cleaned_is_discarded(monkeypatch: pytest.MonkeyPatch) -> None:
    Task.objects.count()

    def away() -> None:
        raise RuntimeError("the server is away")

    monkeypatch.setattr(connections["default"], "close_if_unusable_or_obsolete", away)
    broken = connections["default"]
    cleaning.clean_connections()
    assert connections["default"] is not broken
    broken.close()


def test_a_transaction_left_open_is_rolled_back() -> None:
    [task_id] = record()
    transaction.set_autocommit(False)
    Task.objects.filter(uuid=task_id).update(function_name="half done")
    cleaning.clean_connections()
    assert Task.objects.get(uuid=task_id).function_name != "half done"
    assert connections["default"].get_autocommit()


def test_a_commit_waits_for_a_reader_where_there_is_no_wal(database: Path) -> None:
    connection.close()
    with closing(sqlite3.connect(database)) as other:
        other.execute("PRAGMA journal_mode = DELETE")
    own = threading.get_ident()
    before = connections.settings["default"]["OPTIONS"]
    connections.settings["default"]["OPTIONS"] = {"timeout": 20}
    slots.prepare_connections(own, threading.get_ident)
    try:
        [task_id] = record()
        reader = sqlite3.connect(database, check_same_thread=False, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM django_ztask_task").fetchone()
        release = threading.Timer(0.2, reader.close)
        release.start()
        with transaction.atomic():
            Task.objects.filter(uuid=task_id).update(priority=7)
        release.join()
    finally:
        connection_created.disconnect(dispatch_uid="ztaskd.slots")
        connection.close()
        connections.settings["default"]["OPTIONS"] = before
    assert Task.objects.get(uuid=task_id).priority == 7


@pytest.mark.parametrize("meta", ["[]", "7", '{"retry_count": "many", "timeout": null}', '{"x": true}'])
def test_a_policy_edited_by_hand_counts_as_none(meta: str) -> None:
    [task_id] = record()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE django_ztask_task SET meta = %s", [meta])
    [task] = claim(task_id)
    assert task.policy == {}


def test_an_outcome_is_escaped_before_it_is_given_up() -> None:
    task = claim_new()
    finish = ending(task, Kind.SUCCESS, result='"✓ 😀"')
    plain = finish.in_ascii()
    assert plain.outcome == Outcome(Kind.SUCCESS, result='"\\u2713 \\ud83d\\ude00"')
    assert plain.in_ascii() == plain
    assert plain.without_texts("refused").outcome.result == "repr:refused"
    failure = ending(task, Kind.FAILURE, exception="E: €", traceback="€")
    assert failure.in_ascii().outcome.exception == "E: \\u20ac"
    assert failure.without_texts("refused").outcome.exception == "refused"
