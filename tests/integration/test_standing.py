"""How the journal stands: numbers that have an end, the oldest that waits, and a way there along the indexes alone."""

from __future__ import annotations

import time

import pytest
from django.db import connection

from django_ztask import lifecycle, standing
from django_ztask.lifecycle import Kind
from django_ztask.models import Task
from tests.integration.helpers import BOOT, OTHER, claim, failed, finish, new_task, record
from tests.integration.plans import SORT, UUID, steps
from tests.integration.test_query_plans import crowd
from ztaskd.lease import Lease

pytestmark = pytest.mark.both_databases

__all__ = ["crowd"]


def test_an_empty_journal_has_nothing_of_anything() -> None:
    assert standing.standing(connection) == {
        **dict.fromkeys(("queued", "due", "running", "failed"), 0),
        "at_least": [],
        "oldest": None,
        "claims": {},
        "last_success": None,
        "nodes": [],
    }


def test_each_state_is_counted_and_the_oldest_is_that_which_is_due_the_longest_in_any_pool() -> None:
    now = time.time()
    record(
        new_task(due=now + 3600), new_task(due=now - 5, priority=7), new_task(due=now - 9, priority=-32768)
    )
    [oldest] = record(new_task(due=now - 60, pool="process", priority=3))
    record(new_task(due=now - 30, pool="of nobody", priority=32767))
    claim(*record(new_task(), new_task()), boot=BOOT)
    [done] = claim(*record(new_task()), boot=OTHER)
    finish(done, boot=OTHER)
    failed()
    Lease(BOOT, "one", "ipc:///tmp/x", 15.0).register(connection)
    found = standing.standing(connection)
    assert {name: found[name] for name in ("queued", "due", "running", "failed")} == {
        "queued": 5,
        "due": 4,
        "running": 2,
        "failed": 1,
    }
    assert found["at_least"] == []
    assert found["claims"] == {BOOT: 2}
    assert (found["oldest"]["id"], found["oldest"]["pool"], found["oldest"]["priority"]) == (
        oldest,
        "process",
        3,
    )
    assert 60 <= found["oldest"]["age"] < 120
    assert [node["boot"] for node in found["nodes"]] == [BOOT]
    assert abs(found["last_success"] - now) < 60
    [(function, claimed), _] = standing.runs(connection, [BOOT, BOOT, "of nobody"])
    assert function == "tests.project.shop.tasks.add"
    assert claimed == pytest.approx(now, abs=60)


def test_what_is_too_much_to_count_is_said_to_be_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standing, "MOST", 3)
    record(*(new_task(priority=n % 3) for n in range(4)))
    found = standing.standing(connection)
    assert (found["queued"], found["due"], found["at_least"]) == (3, 3, ["queued", "due"])
    Task.objects.filter(pk__in=[Task.objects.first().pk]).delete()  # type: ignore[union-attr]
    found = standing.standing(connection)
    assert (found["queued"], found["due"], found["at_least"]) == (3, 3, [])


def test_more_kinds_of_rows_than_anybody_has_cost_no_more_than_the_first_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(standing, "MOST_KINDS", 5)
    record(*(new_task(priority=n) for n in range(9)))
    found = standing.standing(connection)
    assert (found["queued"], found["due"]) == (9, 5)


def test_a_row_whose_due_time_or_pool_somebody_has_edited_stops_nobody() -> None:
    ids = record(*(new_task(due=5.0 + n) for n in range(4)))
    Task.objects.filter(uuid=ids[0]).update(next_attempt=None)
    Task.objects.filter(uuid=ids[1]).update(pool="\U0001f600 odd")
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            change = "UPDATE django_ztask_task SET {} WHERE uuid = %s"
            cursor.execute(change.format("next_attempt = 'soon', priority = 'high'"), [ids[2]])
            cursor.execute(change.format("function_name = CAST(x'ff' AS TEXT)"), [ids[3]])
    found = standing.standing(connection)
    assert found["queued"] == 4
    assert found["oldest"]["id"] == ids[1]


def test_every_look_is_a_walk_along_an_index_of_what_is_not_finished(crowd: list[str]) -> None:
    found = [
        step for step in steps(lambda: standing.standing(connection)) if step.table == "django_ztask_task"
    ]
    assert {step.index for step in found} <= {
        *("ztask_queued", "ztask_running", "ztask_failed", "ztask_succeeded", UUID)
    }
    assert {step.index for step in found} >= {"ztask_queued", "ztask_running", "ztask_failed"}
    assert UUID not in {step.index for step in found}
    found = [step for step in steps(lambda: standing.runs(connection, [BOOT])) if step.table]
    assert [step.index for step in found] == ["ztask_running"]
    assert SORT not in found


def test_a_success_is_no_failure() -> None:
    finish(claim(*record(new_task()))[0], Kind.SUCCESS)
    assert standing.standing(connection)["failed"] == 0
    assert set(standing.texts.OF) == {status.value for status in lifecycle.Status}
