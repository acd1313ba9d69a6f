"""How operators' commands find their rows, in a crowd: what they ask often walks along an index, whatever statistics
the database has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from django_ztask import looking, operations, replays
from django_ztask.filters import Filter
from django_ztask.models import Task
from tests.integration.plans import SORT, UUID, steps, tasks
from tests.integration.test_query_plans import contents, crowd

pytestmark = pytest.mark.both_databases

__all__ = ["contents", "crowd"]

FAILED = "ztask_failed"


def test_the_first_list_is_a_walk_along_the_primary_key(crowd: list[str]) -> None:
    assert tasks(lambda: looking.newest(connection, Filter(), None, 50)) == {(UUID, "uuid")}


def test_the_list_of_what_has_failed_is_a_walk_along_its_index(crowd: list[str]) -> None:
    assert {index for index, _ in tasks(lambda: looking.newest(connection, Filter(), "FAILED", 50))} == {
        FAILED
    }


def test_the_list_of_what_runs_reads_nothing_else(crowd: list[str]) -> None:
    found = {
        step.index
        for step in steps(lambda: looking.newest(connection, Filter(), "RUNNING", 50))
        if step.table
    }
    assert found == {"ztask_running"}


def test_one_task_is_found_by_its_whole_id(crowd: list[str]) -> None:
    assert looking.begins(connection, crowd[0]) == [crowd[0]]
    assert tasks(lambda: looking.begins(connection, crowd[0])) == {(UUID, "uuid")}
    found = [step for step in steps(lambda: looking.read(connection, crowd[0])) if step.table]
    assert [(step.by, step.index is None) for step in found] == [(("uuid",), False), (("task_id",), False)]


@pytest.mark.parametrize(
    "verb",
    [
        lambda wanted: operations.count(connection, wanted),
        lambda wanted: operations.latest(connection, wanted),
        lambda wanted: operations.groups(connection, wanted),
    ],
    ids=["count", "latest", "groups"],
)
def test_what_a_replay_would_find_is_counted_among_failed_rows_alone(
    verb: Callable[[Any], Any], crowd: list[str]
) -> None:
    condition = operations.replayable(connection, Filter(function="*add"))
    assert {step.index for step in steps(lambda: verb(condition)) if step.table} == {FAILED}


def test_each_step_of_a_replay_goes_on_in_the_index_and_changes_rows_by_their_ids(crowd: list[str]) -> None:
    begun = replays.begin(connection, Filter(), "", None, 150, False)
    assert replays.step(connection, begun, 50, 5) is not None
    found = steps(lambda: replays.step(connection, begun, 50, 5))
    assert (
        SORT not in found or connection.vendor == "postgresql"
    )  # (the ids of a batch, to lock them in order)
    touching = [(step.index, step.by) for step in found if step.table == "django_ztask_task"]
    assert touching[0] == (FAILED, ("uuid", "created"))
    assert {index for index, by in touching[1:]} == {UUID}
    assert begun.queued == 100


def test_deleting_goes_by_ids(crowd: list[str]) -> None:
    ids = list(Task.objects.succeeded().values_list("uuid", flat=True)[:100])
    found = steps(lambda: operations.delete(connection, ids, "SUCCEEDED"))
    assert {step.by for step in found if step.table == "django_ztask_task"} == {("uuid",)}
    walk = operations.purgeable(connection, Filter(), "SUCCEEDED")
    assert tasks(lambda: operations.walk_by_id(connection, walk, "SUCCEEDED", ids[0], 100)) == {
        (UUID, "uuid")
    }
