"""Rows that are put aside, and what is in their way: other nodes, locks, pools that are none."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from django.db import connection, transaction

from django_ztask import pauses, upkeep
from django_ztask.models import Task
from tests.integration.helpers import new_task, race, record, status
from tests.integration.test_pauses import NOW, _in_transaction, brought, mail, pool

pytestmark = pytest.mark.both_databases


def test_what_another_node_puts_aside_meanwhile_is_not_taken_for_odd(
    monkeypatch: pytest.MonkeyPatch, vendor: str
) -> None:
    """On PostgreSQL; SQLite's other nodes wait for the lock, which their looks at the pools are under."""
    ids = mail(3)
    pauses.pause(connection, "mail")
    read, others = pauses.pools_aside, partial(_in_transaction, verb=partial(pauses.put_aside, ids=ids))

    def read_and_then(own: Any) -> list[str]:
        found = read(own)
        assert race(others) == [3]
        return found

    if vendor == "postgresql":
        monkeypatch.setattr(pauses, "pools_aside", read_and_then)
    with transaction.atomic():
        assert upkeep.fail_odd(connection, NOW) == []
    assert {status(task_id) for task_id in ids} == {"QUEUED"}


def test_a_pool_that_is_no_utf8_hides_no_pause_and_is_failed(vendor: str) -> None:
    if vendor == "postgresql":
        return  # (which refuses it)
    odd, lost = record(new_task(1), new_task(2))
    pause, _ = pauses.pause(connection, "mail")
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE django_ztask_task SET pool = CAST(x'7061757365642dff' AS TEXT) WHERE uuid = %s", [odd]
        )
    Task.objects.filter(uuid=lost).update(pool="paused-x")
    assert len(pauses.strays(connection, [pause])) == 2
    assert (brought(), brought(), pool(lost)) == (1, 0, "")
    assert [task_id for task_id, _ in upkeep.fail_odd(connection, NOW)] == [odd]
    assert pauses.strays(connection, [pause]) == []


def test_rows_that_somebody_has_locked_keep_no_others_aside(vendor: str) -> None:
    if vendor == "sqlite":
        return  # (which locks all of them)
    ids = record(new_task(1), new_task(2))
    for task_id, made in zip(ids, ("paused-98", "paused-99"), strict=True):
        Task.objects.filter(uuid=task_id).update(pool=made)
    with transaction.atomic():
        list(Task.objects.select_for_update().filter(uuid=ids[0]))
        assert race(partial(_in_transaction, verb=partial(pauses.bring_back, limit=9))) == [1]
    assert (pool(ids[0]), pool(ids[1])) == ("paused-98", "")
