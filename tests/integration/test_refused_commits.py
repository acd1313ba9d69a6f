"""SQLite: a call whose row is refused leaves no transaction open, and the connection as it was."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from django.db import IntegrityError, connection

from django_ztask import journal
from django_ztask.models import Task
from tests.integration.conftest import Messages
from tests.integration.crowd import bad, everything, record
from tests.integration.helpers import ROOT, environment, new_task


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
    assert done.stdout.splitlines() == ["FOREIGN KEY constraint failed False"] * 2 + ["1"]
    assert list(Task.objects.values_list("args", flat=True)) == ["[2]"]
