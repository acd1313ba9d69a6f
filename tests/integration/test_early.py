"""SQLite: the message goes out before the COMMIT, where that is safe, and the transaction is never left open."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, connection, connections, transaction

from django_ztask import journal, transport
from django_ztask.models import Task
from tests.integration.conftest import Messages
from tests.integration.crowd import bad, everything, record
from tests.integration.helpers import ROOT, environment, new_task
from tests.project.shop.tasks import add

Seen = list[tuple[int, bool]]


@pytest.fixture
def seen() -> Seen:
    """What another connection sees of the table when a message goes out: its rows, and whether it may write."""
    found: Seen = []

    def deliver(ids: Sequence[str], later: float | None) -> None:
        other = sqlite3.connect(connections["default"].settings_dict["NAME"], timeout=0, isolation_level=None)
        [count] = other.execute("SELECT count(*) FROM django_ztask_task").fetchone()
        try:
            other.execute("BEGIN IMMEDIATE")
            other.execute("ROLLBACK")
            free = True
        except sqlite3.OperationalError:
            free = False
        other.close()
        found.append((count, free))

    transport.deliver_to(deliver)
    return found


def beside_another_thread(call: Any) -> None:
    end = threading.Event()
    other = threading.Thread(target=end.wait)
    other.start()
    try:
        call()
    finally:
        end.set()
        other.join()


def alone() -> bool:
    return threading.active_count() == 1


def test_the_only_thread_announces_its_row_while_it_holds_the_lock(seen: Seen) -> None:
    if not alone():
        pytest.skip("the test run has other threads")
    add.async_(1)
    add.after(60, 2)
    assert seen == [(0, False), (1, False)]
    assert Task.objects.count() == 2


def test_beside_other_threads_a_row_is_announced_when_it_is_committed(seen: Seen) -> None:
    beside_another_thread(lambda: add.async_(1))
    assert seen == [(1, True)]


def test_many_rows_and_transactions_are_announced_when_they_are_committed(seen: Seen) -> None:
    add.map([1, 2])
    with transaction.atomic():
        add.async_(3)
        assert len(seen) == 1
    assert seen == [(2, True), (3, True)]


def test_an_error_leaves_no_transaction_open(messages: Messages) -> None:
    task = new_task(1)
    journal.record(connection, [task])
    for wrong in (bad(), task):
        with pytest.raises(IntegrityError):
            record(wrong)()
        assert not connection.connection.in_transaction
        connection.connection.execute("BEGIN IMMEDIATE")
        connection.connection.execute("ROLLBACK")
    assert (everything(), messages) == ([task.id], [])


COMMIT_FAILS = """
import sqlite3, sys
from django.db import connection, IntegrityError
from django_ztask import transport
sent = []
transport.deliver_to(lambda ids, later: sent.append(list(ids)))
with connection.cursor() as cursor:
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("CREATE TABLE parent (id TEXT PRIMARY KEY)")
    cursor.execute("CREATE TABLE child (id TEXT REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)")
    cursor.execute("CREATE TRIGGER orphan AFTER INSERT ON django_ztask_task BEGIN INSERT INTO child VALUES ('x'); END")
for n in range(2):
    try:
        add.async_(n)
    except IntegrityError as error:
        print(error, connection.connection.in_transaction)
with connection.cursor() as cursor:
    cursor.execute("DROP TRIGGER orphan")
add.async_(2)
print(len(sent))
"""


def test_a_commit_that_fails_is_told_and_the_connection_goes_on(database: Path) -> None:
    """Whatever makes it fail: here it is somebody's own foreign key, which is checked by the COMMIT."""
    head = "import django; django.setup()\nfrom tests.project.shop.tasks import *\n"
    done = subprocess.run(
        [sys.executable, "-c", head + COMMIT_FAILS],
        cwd=ROOT,
        env=environment(database),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["FOREIGN KEY constraint failed False"] * 2 + ["3"]
    assert list(Task.objects.values_list("args", flat=True)) == ["[2]"]
