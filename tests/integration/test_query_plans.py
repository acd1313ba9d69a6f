"""How the rows are found: by the index meant for it, with many finished rows, whatever statistics the
database has: none, those of now, or those of a time when nothing was queued. Cost grows with work, not with history.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from django.db import connection

from django_ztask import cancelling, journal, pauses, upkeep
from django_ztask.handle import TaskHandle
from django_ztask.lifecycle import POOLS, Kind
from django_ztask.models import Task
from django_ztask.rows import stamp
from tests.integration.conftest import Contents
from tests.integration.helpers import BOOT, OTHER, claim, ending, new_task, record
from tests.integration.plans import SORT, UUID, Step, steps, tasks
from ztaskd.lease import Lease
from ztaskd.recover import recover_dead
from ztaskd.storage import storage_for

pytestmark = pytest.mark.both_databases

NOW = 1_700_000_000.0
FIRST = 1_698_796_800.0  # the 1st of November: when the first of the history finished
HISTORY = 20_000  # finished rows
WAITING = 1200  # queued rows: half of them are due

# One more row in each second.
FINISHED_AT = {
    "sqlite": "datetime('2023-11-01', n || ' seconds')",
    "postgresql": "timestamptz '2023-11-01 00:00Z' + n * interval '1 second'",
}

SERIES = {
    "sqlite": "WITH RECURSIVE series(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM series WHERE n < %s)",
    "postgresql": "WITH series(n) AS (SELECT generate_series(1, %s))",
}

FINISHED = """INSERT INTO django_ztask_task
    (uuid, function_name, args, kwargs, retry_count, next_attempt, created, status, queue, priority, codec,
     mac, attempts, failures, crashes, interruptions, replays, finished, node)
    {} SELECT 'finished-' || (1000000 + n), 'shop.tasks.add', '[]', '{{}}', 0, n, %s, 'SUCCEEDED', 'default', 0,
    'json', '', 1, 0, 0, 0, 0, {}, 'boot-0' FROM series"""

ATTEMPTS = """INSERT INTO django_ztask_attempt (task_id, attempt, kind, node, finished, exception, traceback)
    {} SELECT 'finished-' || (1000000 + n), 1, 'failure', 'boot-0', %s, '', '' FROM series"""


def fill() -> None:
    """The history."""
    long_ago, series = stamp(connection, NOW - 1000), SERIES[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(FINISHED.format(series, FINISHED_AT[connection.vendor]), [HISTORY, long_ago])
        cursor.execute(ATTEMPTS.format(series), [HISTORY // 4, long_ago])


def analyze() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


@contextmanager
def committing() -> Iterator[None]:
    """As the committer does it: in a transaction with its own settings."""
    with storage_for("default").transaction(False):
        yield


def populate(statistics: str) -> None:
    """Rows in every state."""
    fill()
    if statistics == "statistics of an empty queue":
        analyze()
    new = [
        new_task(n, due=NOW + n - WAITING // 2, priority=n % 3, pool=POOLS[n // 3 % len(POOLS)])
        for n in range(WAITING)
    ]
    record(*new)
    for state in ("RUNNING", "FAILED", "CANCELLED"):
        others = record(*(new_task(n, due=NOW - 500) for n in range(150)))
        Task.objects.filter(uuid__in=others).update(status=state, node="boot-0")
    if statistics == "statistics of now":
        analyze()


@pytest.fixture(params=["no statistics", "statistics of now", "statistics of an empty queue"])
def contents(request: pytest.FixtureRequest) -> Contents:
    return Contents(f"crowd, {request.param}", partial(populate, request.param))


@pytest.fixture
def crowd(contents: Contents) -> list[str]:
    """The ids of those that are queued and due."""
    return list(Task.objects.due(NOW).order_by("uuid").values_list("uuid", flat=True))


# How queued rows are found: always by pool first.
NEXT, WALK = ("ztask_queued", "pool priority"), ("ztask_queued", "pool priority next_attempt")


@pytest.mark.parametrize("pool", POOLS)
def test_due_rows_are_one_walk_along_the_index_of_queued_rows(pool: str, crowd: list[str]) -> None:
    found = tasks(lambda: journal.due(connection, NOW, 50, {"not.here"}, [pool]))
    assert found == {NEXT, WALK}


@pytest.mark.parametrize("pools", [POOLS[:2], POOLS[1:], POOLS])
def test_due_rows_of_several_pools_are_a_walk_for_each_and_only_what_they_find_is_sorted(
    pools: tuple[str, ...], crowd: list[str]
) -> None:
    with committing():
        found = steps(lambda: journal.due(connection, NOW, 50, {"not.here"}, pools))
    walk, sought = (Step("django_ztask_task", index, tuple(by.split())) for index, by in (WALK, NEXT))
    assert {step for step in found if step.table} == {walk, sought}
    assert (found.count(walk), found.count(SORT)) == (len(pools), 1)


def test_what_is_paused_is_put_aside_by_its_primary_key_and_comes_back_by_the_index(crowd: list[str]) -> None:
    pause, _ = pauses.pause(connection, "default")
    with committing():
        assert tasks(lambda: pauses.among(connection, crowd[:500])) == {(UUID, "uuid")}
        assert tasks(lambda: pauses.put_aside(connection, crowd[:500])) == {(UUID, "uuid")}
        assert len(tasks(lambda: pauses.strays(connection, [pause]))) == 1
        assert {index for index, _ in tasks(lambda: pauses.strays(connection, [pause]))} == {"ztask_queued"}
        assert {index for index, _ in tasks(lambda: pauses.claimed(connection, BOOT, ["default"]))} == {
            "ztask_running"
        }
    pauses.resume(connection, pause)
    brought: list[int] = []
    with committing():
        found = tasks(lambda: brought.append(pauses.bring_back(connection, 20)))
    assert found == {("ztask_queued", "pool"), ("ztask_queued", "pool priority"), (UUID, "uuid")}
    assert brought == [20]


def test_the_next_due_time_is_looked_up_in_the_index_of_queued_rows(crowd: list[str]) -> None:
    found = tasks(lambda: journal.next_due(connection, NOW))
    assert found == {NEXT, WALK}


def test_a_row_that_would_never_be_due_is_looked_up_in_the_index_of_queued_rows(crowd: list[str]) -> None:
    with committing():
        found = tasks(lambda: upkeep.fail_odd(connection, NOW))
    assert found == {("ztask_queued", "pool"), NEXT, WALK}


@pytest.mark.parametrize("count", [1, 50, 200])
def test_a_claim_looks_up_each_name_by_its_primary_key(count: int, crowd: list[str]) -> None:
    claimed: list[Any] = []
    with committing():
        assert tasks(lambda: claimed.extend(claim(*crowd[:count], now=NOW))) == {(UUID, "uuid")}
    assert len(claimed) == count


@pytest.mark.parametrize("count", [1, 50, 200])
def test_a_finish_looks_up_its_row_by_its_primary_key(count: int, crowd: list[str]) -> None:
    ends = [ending(task, Kind.FAILURE) for task in claim(*crowd[:200], now=NOW)][:count]
    for _ in ("written", "found written"):
        with committing():
            assert tasks(lambda: journal.finish(connection, BOOT, ends)) == {(UUID, "uuid")}


@pytest.mark.parametrize("verb", ["mark", "give_up", "refuse", "refresh", "cancel"])
def test_what_concerns_one_row_looks_it_up_by_its_primary_key(verb: str, crowd: list[str]) -> None:
    claimed = claim(*crowd[:200], now=NOW)
    task, end = claimed[7], ending(claimed[7], Kind.SUCCESS)
    verbs: dict[str, Callable[[], Any]] = {
        "mark": lambda: journal.mark(connection, BOOT, task.id, task.attempt, NOW),
        "give_up": lambda: upkeep.give_up(connection, BOOT, end, "no"),
        "refuse": lambda: upkeep.refuse(connection, crowd[-1], NOW, "no"),
        "refresh": lambda: TaskHandle(task.id).refresh(),
        "cancel": lambda: cancelling.ask(connection, task.id, NOW),
    }
    assert tasks(verbs[verb]) == {(UUID, "uuid")}


@pytest.mark.parametrize(
    ("verb", "indexes"),
    [
        (lambda: journal.recover(connection, "boot-0"), {"ztask_running"}),
        (lambda: journal.recover(connection, "boot-0", ["held"]), {"ztask_running"}),
        (lambda: journal.fail_interrupted(connection, "boot-0", NOW, ["held"]), {"ztask_running"}),
        (lambda: journal.holders(connection), {"ztask_running"}),
        (lambda: journal.replay_failed(connection, NOW, 5), {"ztask_failed"}),
        (lambda: upkeep.fail_unknown(connection, NOW, NOW, {"not.here"}), {"ztask_queued"}),
        (lambda: cancelling.asked(connection, "boot-0"), {"ztask_running"}),
        (lambda: cancelling.settle(connection, "boot-0", NOW, ["held"]), {"ztask_running"}),
        (lambda: upkeep.prunable(connection, FIRST + 500), {"ztask_succeeded", "ztask_cancelled"}),
        (lambda: upkeep.prune(connection, NOW, 50), {"ztask_succeeded", UUID}),
        (lambda: upkeep.prune(connection, NOW, HISTORY + 50), {"ztask_succeeded", "ztask_cancelled", UUID}),
    ],
    ids=[
        "recover",
        "reconcile",
        "fail_interrupted",
        "holders",
        "replay",
        "fail_unknown",
        "cancelled",
        "settle",
        "prunable",
        "prune",
        "prune all",
    ],
)
def test_the_other_verbs_walk_only_the_rows_of_their_state(
    verb: Callable[[], Any], indexes: set[str], crowd: list[str]
) -> None:
    with committing():
        assert {index for index, _ in tasks(verb)} == indexes


def test_cancelled_tasks_that_are_named_are_looked_up_by_their_primary_key(crowd: list[str]) -> None:
    claim(*crowd[:200], now=NOW)
    for named in (crowd[:1], crowd):
        with committing():
            assert tasks(partial(cancelling.asked, connection, BOOT, named)) == {(UUID, "uuid")}


def test_pruning_looks_up_attempts_by_their_task(crowd: list[str]) -> None:
    with committing():
        found = steps(lambda: upkeep.prune(connection, NOW, 50))
    assert [step.by for step in found if step.table == "django_ztask_attempt"] == [("task_id",)]


def test_recovery_reads_no_row_but_the_running_ones(crowd: list[str], tmp_path: Any) -> None:
    Lease(OTHER, "node", "tcp://127.0.0.1:5555", -1.0).register(connection)
    with committing():
        found = tasks(lambda: recover_dead(connection, tmp_path, BOOT))
    assert {index for index, _ in found} == {"ztask_running"}
    assert Task.objects.running().count() == 0


def test_the_figures_of_a_crowd_are_those_of_a_crowd(crowd: list[str]) -> None:
    """Without many rows in every state the plans above would say nothing."""
    assert Task.objects.succeeded().count() == HISTORY
    assert len(crowd) > WAITING // 2 > 200
    assert Task.objects.due(time.time()).count() == WAITING
    assert Task.objects.running().count() == Task.objects.failed().count() == 150
