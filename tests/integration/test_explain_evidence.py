"""What explain gathers about a task that waits: who is before it, and who runs, where it is to run."""

from __future__ import annotations

import pytest
from django.db import connection

from django_ztask import evidence
from django_ztask.models import Task
from tests.integration.helpers import claim_new, new_task, record

pytestmark = pytest.mark.both_databases


@pytest.mark.parametrize(
    ("pool", "ahead", "running"),
    [("", 1, 2), ("greenlet", 3, 2), ("process", 1, 1), ("suspect", 1, 2), ("suspect-greenlet", 3, 2)],
)
def test_who_is_before_it_is_counted_among_those_that_share_its_places(
    pool: str, ahead: int, running: int
) -> None:
    for each in ("", "greenlet", "process", "suspect", "suspect-greenlet"):
        task = claim_new()
        Task.objects.filter(uuid=task.id).update(pool=each)
    record(new_task(1, pool="process", due=9e9))
    waiting = {
        each: record(new_task(1, pool=each), new_task(1, pool=each))[1]
        for each in ("", "greenlet", "process", "suspect", "suspect-greenlet")
    }
    found = evidence.gather(connection, waiting[pool])
    assert found is not None
    assert (found.ahead, found.running) == (ahead, running)
