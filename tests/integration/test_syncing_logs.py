"""The write-ahead logs that a process keeps open to sync them: one for each database, and few."""

from __future__ import annotations

import os
import sqlite3

from django.db import connection, connections

from django_ztask import syncing
from tests.integration.crowd import Call
from tests.integration.test_syncing import connections_log
from tests.project.shop.tasks import add


def test_connections_share_one_descriptor() -> None:
    path = connections_log()

    def opened() -> int:
        paths = [os.readlink(entry.path) for entry in os.scandir("/proc/self/fd")]
        return sum(each.removesuffix(" (deleted)") == path for each in paths)

    for n in range(5):
        add.async_(n)
        assert opened() == 2, "SQLite's own, and ours"
        connection.close()
        assert opened() == 1, "until somebody calls again"
        for _ in range(3):
            Call(lambda n=n: add.async_(n)).ends()
            assert opened() == 1


def test_a_process_keeps_few_logs_open() -> None:
    """And opens another one when it has to sync it."""
    add.async_(1)
    [(path, kept)] = [(path, log) for path, log in syncing._logs.items() if path == connections_log()]
    for n in range(2 * syncing.MOST):
        syncing._logs[f"other-{n}"] = kept
    other = sqlite3.connect(f"{connections['default'].settings_dict['NAME']}-other")
    other.execute("PRAGMA journal_mode = WAL")
    other.execute("CREATE TABLE other (number)")
    assert syncing.ways_of(other) is not None
    other.close()
    assert len(syncing._logs) == syncing.MOST
    assert path not in syncing._logs
    add.async_(2)
    assert path in syncing._logs
