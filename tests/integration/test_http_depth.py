"""How many tasks there are in which state: counted beside everything else, by indexes, and not too often."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection

from django_ztask.models import Task
from tests.integration.helpers import claim, failed, later, new_task, record
from tests.integration.plans import tasks
from tests.integration.test_query_plans import crowd
from ztaskd.http import depth as counting
from ztaskd.http.depth import Depth, count
from ztaskd.storage import storage_for

pytestmark = pytest.mark.both_databases

__all__ = ["crowd"]


@pytest.fixture
def depth() -> Iterator[Depth]:
    found = Depth(storage_for("default"))
    yield found
    found._pool.kill()


def test_each_state_is_counted_along_its_index(crowd: list[str]) -> None:
    with storage_for("default").look():
        found = tasks(lambda: count(connection))
    assert {index for index, _ in found} == {"ztask_queued", "ztask_running", "ztask_failed"}


def test_states_are_counted_in_another_thread_and_remembered_for_a_while(depth: Depth) -> None:
    claim(*record(new_task(1), new_task(2)))
    record(new_task(3), new_task(4, due=later() + 60), new_task(5, due=later() + 60))
    (paused,) = record(new_task(6))
    Task.objects.filter(pk=paused).update(pool="paused-7-p")
    failed()
    depth.refresh()
    assert depth.states == {"due": 1, "later": 2, "paused": 1, "running": 2, "failed": 1}
    record()
    depth.refresh()
    assert depth.states["due"] == 1


def test_what_cannot_be_counted_is_not_known(depth: Depth, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PAUSE", "REST"):
        monkeypatch.setattr(counting, name, 0.0)
    depth.refresh()
    assert depth.states is not None
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE django_ztask_task RENAME TO elsewhere")
    depth.refresh()
    assert depth.states is None
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE elsewhere RENAME TO django_ztask_task")
    depth.refresh()
    assert depth.states == {"due": 0, "later": 0, "paused": 0, "running": 0, "failed": 0}
