"""How SQLite finds the rows: by the index meant for it, with many rows and without ANALYZE."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction

from django_ztask import journal, upkeep
from django_ztask.handle import TaskHandle
from django_ztask.lifecycle import Kind
from django_ztask.models import Task
from tests.integration.helpers import BOOT, claim, ending, new_task, record

NOW = 1_700_000_000.0
ROWS = 2000


@pytest.fixture
def crowd() -> list[str]:
    """Rows in every state; the ids of those that are queued and due."""
    tasks = [new_task(n, due=NOW + n - 200, priority=n % 3) for n in range(ROWS)]
    record(*tasks)
    for n, state in enumerate(("RUNNING", "SUCCEEDED", "FAILED", "CANCELLED")):
        chosen = [task.id for task in tasks[n::8]]
        for first in range(0, len(chosen), 250):
            Task.objects.filter(uuid__in=chosen[first : first + 250]).update(status=state, node=f"boot-{n}")
    return list(Task.objects.due(NOW).values_list("uuid", flat=True))


def plans(verb: Callable[[], Any]) -> list[list[str]]:
    """The plan of each different statement that `verb` executes."""
    seen: dict[str, Any] = {}

    def watch(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        seen.setdefault(sql, params[0] if many else params)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(watch):
        verb()
    with connection.cursor() as cursor:
        found = []
        for sql, params in seen.items():
            if not sql.startswith(("SAVEPOINT", "RELEASE", "BEGIN")):
                cursor.execute("EXPLAIN QUERY PLAN " + sql, params)
                found.append([row[3] for row in cursor.fetchall()])
        return found


def steps(verb: Callable[[], Any]) -> list[str]:
    """Every step that touches the task table; fails on a walk over the whole of it, and on sorting."""
    lines = [line for plan in plans(verb) for line in plan]
    touching = [line for line in lines if "django_ztask_task" in line]
    assert touching, lines
    assert not any(line == "SCAN django_ztask_task" for line in lines), lines
    assert not any("TEMP B-TREE" in line for line in lines), lines
    return touching


def test_due_rows_are_one_walk_along_the_index_of_queued_rows(crowd: list[str]) -> None:
    touching = steps(lambda: journal.due(connection, NOW, 50, {"not.here"}))
    assert any("USING INDEX ztask_queued (priority=? AND next_attempt<?)" in line for line in touching)
    assert all("ztask_queued" in line for line in touching)


def test_the_next_due_time_is_looked_up_in_the_index_of_queued_rows(crowd: list[str]) -> None:
    touching = steps(lambda: journal.next_due(connection, NOW))
    assert any("INDEX ztask_queued (priority=? AND next_attempt>?" in line for line in touching)
    assert all("ztask_queued" in line for line in touching)


def test_a_claim_looks_up_each_name_by_its_primary_key(crowd: list[str]) -> None:
    for count in (1, 200):
        touching = steps(lambda count=count: claim(*crowd[:count], now=NOW))
        by_key = "SEARCH django_ztask_task USING INDEX sqlite_autoindex_django_ztask_task_1 (uuid=?)"
        assert touching == [by_key, by_key]  # the claim, and reading what it took


def test_a_finish_looks_up_its_row_by_its_primary_key(crowd: list[str]) -> None:
    claimed = claim(*crowd[:20], now=NOW)
    ends = [ending(task, Kind.FAILURE) for task in claimed]
    with transaction.atomic():
        touching = steps(lambda: journal.finish(connection, BOOT, ends))
    assert all("sqlite_autoindex_django_ztask_task_1 (uuid=?)" in line for line in touching)
    again = steps(lambda: journal.finish(connection, BOOT, ends))  # finds all of them written
    assert all("sqlite_autoindex_django_ztask_task_1 (uuid=?)" in line for line in again)


@pytest.mark.parametrize(
    ("verb", "index"),
    [
        (lambda: journal.recover(connection, "boot-0", ["held"]), "ztask_running"),
        (lambda: journal.holders(connection), "ztask_running"),
        (lambda: journal.replay_failed(connection, NOW, 5), "ztask_failed"),
        (lambda: upkeep.fail_unknown(connection, NOW, NOW, {"not.here"}), "ztask_queued"),
        (lambda: journal.fail_interrupted(connection, "boot-0", NOW), "ztask_running"),
        (lambda: upkeep.prunable(connection, NOW), "ztask_succeeded"),
        (lambda: list(Task.objects.failed().values_list("uuid")), "ztask_failed"),
    ],
    ids=["recover", "holders", "replay_failed", "fail_unknown", "fail_interrupted", "prunable", "failed"],
)
def test_the_other_verbs_walk_only_the_rows_of_their_state(
    verb: Callable[[], Any], index: str, crowd: list[str]
) -> None:
    assert all(index in line for line in steps(verb))


def test_pruning_walks_along_the_index_of_what_succeeded(crowd: list[str]) -> None:
    touching = steps(lambda: upkeep.prune(connection, NOW * 2, 50))
    assert sum("ztask_succeeded (finished<?)" in line for line in touching) == 1
    assert all("ztask_succeeded" in line or "_1 (uuid=?)" in line for line in touching)


def test_a_handle_looks_at_its_row_by_its_primary_key(crowd: list[str]) -> None:
    touching = steps(lambda: TaskHandle(crowd[0]).refresh())
    assert all("sqlite_autoindex_django_ztask_task_1 (uuid=?)" in line for line in touching)
