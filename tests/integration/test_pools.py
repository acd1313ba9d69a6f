"""Where a task runs: what a call writes, what is due for which pools and in which order, who may claim it, and what
becomes of a pool that is none.
"""

from __future__ import annotations

import random
from itertools import combinations

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_ztask import journal, lifecycle, upkeep
from django_ztask.lifecycle import GREENLET, POOLS, PROCESS
from django_ztask.models import Task
from tests.integration.helpers import BOOT, new_task, record, row, status
from tests.project.shop.tasks import add

pytestmark = pytest.mark.both_databases

# Columns of later migrations than 0005.
ADDED = ("pool", "cancel_requested", "progress")

NOW = 1_700_000_000.0
SLOTS = ("", GREENLET)
CHOICES = [pools for count in (1, 2, 3) for pools in combinations(POOLS, count)]


def edit(task_id: str, column: str, value: str) -> None:
    """As somebody does it by hand; `value` is SQL."""
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE django_ztask_task SET {column} = {value} WHERE uuid = %s", [task_id])


@pytest.mark.parametrize(("pool", "written"), [(None, ""), (GREENLET, GREENLET), (PROCESS, PROCESS)])
def test_every_way_to_call_writes_the_pool(pool: str | None, written: str) -> None:
    chosen = add.using(pool=pool)
    handles = [chosen.async_(1), chosen.after(5, 1), *chosen.map([1]), *chosen.map([1, 2, 3])]
    assert [row(handle.id).pool for handle in handles] == [written] * 6
    assert {row(handle.id).meta for handle in handles} == {None}, "it is no part of the policy"


def rows_in_order() -> dict[str, str]:
    """id -> pool, in the order in which they are to start; recorded in another."""
    tasks = [
        new_task(n, priority=priority, due=NOW + due, created=NOW + created, pool=POOLS[n % len(POOLS)])
        for n, (priority, due, created) in enumerate(
            (priority, due, created)
            for priority in (9, 5, 0, -1)
            for due in (-3600.0, -1.5, 0.0)
            for created in (-5.0, -4.0, 0.000001)
        )
    ]
    tasks += [
        new_task(n, priority=-n, due=NOW, pool=pool) for n, pool in ((3, PROCESS), (4, GREENLET), (5, ""))
    ]
    shuffled = tasks[:]
    random.Random(7).shuffle(shuffled)
    record(*shuffled)
    record(*[new_task(n, priority=9, due=NOW + 0.001, pool=pool) for n, pool in enumerate(POOLS)])
    return {task.id: task.pool for task in tasks}


def test_due_rows_come_by_priority_then_due_time_then_call_whatever_their_pool() -> None:
    made = rows_in_order()
    for pools in CHOICES:
        expected = [task_id for task_id, pool in made.items() if pool in pools]
        assert len(expected) > 5
        for limit in (0, 1, 2, 7, len(expected) - 1, len(expected), 100):
            assert journal.due(connection, NOW, limit, (), pools) == expected[:limit], (pools, limit)


def test_functions_unknown_here_stall_nobody_in_any_pool() -> None:
    record(*[new_task(n, due=NOW - 9, function="not.here", pool=POOLS[n % 3]) for n in range(20)])
    known = record(*[new_task(n, due=NOW, created=NOW + n, pool=POOLS[n % 3]) for n in range(6)])
    assert journal.due(connection, NOW, 9, {"not.here"}) == known


@pytest.mark.parametrize("limit", [3, 4])
def test_empty_pools_cost_no_statement(limit: int) -> None:
    made = record(*[new_task(n, due=NOW) for n in range(3)])
    for pools in ([""], SLOTS, POOLS):
        with CaptureQueriesContext(connection) as queries:
            assert journal.due(connection, NOW, limit, (), pools) == made
        assert len(queries) == limit - 1, "the priority, its rows, and whether there is another one"
    with CaptureQueriesContext(connection) as queries:
        assert journal.next_due(connection, NOW - 1) == NOW
    assert len(queries) == 3


def test_pools_are_put_in_order_only_where_they_share_a_priority() -> None:
    made = record(*[new_task(n, due=NOW, priority=-n, pool=pool) for n, pool in enumerate(POOLS)])
    with CaptureQueriesContext(connection) as queries:
        assert journal.due(connection, NOW, len(POOLS)) == made
        assert [query["sql"] for query in queries if "UNION" in query["sql"]] == []
        more = record(new_task(9, due=NOW, pool=PROCESS))
        assert journal.due(connection, NOW, 2) == [made[0], *more]
    assert len([query for query in queries if "UNION" in query["sql"]]) == 1


@pytest.mark.parametrize("pool", lifecycle.CHOICES)
def test_the_next_due_time_is_the_earliest_of_any_pool_but_those_of_suspects(pool: str) -> None:
    record(
        *[new_task(1, due=NOW + 9, pool=each) for each in lifecycle.CHOICES],
        new_task(1, due=NOW + 2.5, pool=pool),
    )
    assert journal.next_due(connection, NOW) == NOW + 2.5


@pytest.mark.parametrize("pools", CHOICES)
@pytest.mark.parametrize("count", [1, 5])
def test_a_claim_takes_rows_of_its_pools_and_leaves_the_others(count: int, pools: tuple[str, ...]) -> None:
    made = {pool: record(*[new_task(n, due=NOW, pool=pool) for n in range(count)]) for pool in POOLS}
    claimed = []
    for ids in made.values():
        claimed += journal.claim(connection, BOOT, ids, NOW, (), pools)
    assert [(task.id, task.pool) for task in claimed] == [
        (each, pool) for pool in pools for each in made[pool]
    ]
    for pool, ids in made.items():
        assert {status(task_id) for task_id in ids} == {"RUNNING" if pool in pools else "QUEUED"}


# What somebody may write by hand. (Each stands between, or behind, those that there are.)
ODD: dict[str, list[str]] = {
    "postgresql": [
        "' '",
        "'default'",
        "'GREENLET'",
        "'greenlet '",
        "'kitchen'",
        "'processes'",
        "'suspect '",
        "'suspect-process'",
        "'zzzzzzzzzz'",
    ],
    "sqlite": [
        "7",
        "x'00'",
        "x'ff'",
        "CAST(x'ff' AS TEXT)",
        "CAST(x'70ff' AS TEXT)",
        "char(0)",
        "'process' || char(0)",
    ],
}
ODD["sqlite"] += ODD["postgresql"]


def test_rows_of_a_pool_that_is_none_are_failed_with_the_reason_and_stop_nobody(vendor: str) -> None:
    odd = record(*[new_task(n, due=NOW, priority=n % 3) for n in range(len(ODD[vendor]))])
    for task_id, value in zip(odd, ODD[vendor], strict=True):
        edit(task_id, "pool", value)
    good = record(*[new_task(n, due=NOW, created=NOW + n, pool=pool) for n, pool in enumerate(POOLS)])
    other = record(new_task(1, due=NOW))
    edit(other[0], "pool", "'nonsense'")
    Task.objects.filter(uuid=other[0]).update(status="SUCCEEDED")
    assert journal.due(connection, NOW, 50) == good
    assert journal.claim(connection, BOOT, odd, NOW) == []
    assert sorted(upkeep.fail_odd(connection, NOW)) == sorted((task_id, add.name) for task_id in odd)
    found = Task.objects.filter(status="FAILED").values_list("uuid", "last_exception")
    assert dict(found) == dict.fromkeys(odd, "somebody has edited its row: its pool is none")
    assert upkeep.fail_odd(connection, NOW) == []
    assert journal.due(connection, NOW, 50) == good


@pytest.mark.parametrize("pool", POOLS)
def test_a_due_time_or_a_priority_that_is_none_is_found_in_every_pool(pool: str, vendor: str) -> None:
    edits = [("next_attempt", "NULL"), ("next_attempt", "'infinity'" if vendor == "postgresql" else "9e999")]
    if vendor == "sqlite":
        edits.append(("priority", "'high'"))
    odd = record(*[new_task(n, due=NOW, priority=n, pool=pool) for n in range(len(edits))])
    for task_id, (column, value) in zip(odd, edits, strict=True):
        edit(task_id, column, value)
    record(new_task(1, due=NOW, pool=pool))
    assert {task_id for task_id, _ in upkeep.fail_odd(connection, NOW)} == set(odd)


OLD_ROW = """INSERT INTO django_ztask_task
    (uuid, function_name, args, kwargs, retry_count, next_attempt, created, status, queue, priority, codec, mac,
     attempts, failures, crashes, interruptions, replays)
    VALUES (%s, 'shop.tasks.add', '[]', '{}', 2, %s, %s, %s, 'default', 0, 'json', '', 0, 0, 0, 0, 0)"""


def write_old_row(task_id: str, state: str) -> None:
    """As code writes it that does not know the column."""
    with connection.cursor() as cursor:
        cursor.execute(OLD_ROW, [task_id, NOW, "2023-11-14 22:00:00+00:00", state])


def test_rows_from_before_the_column_are_the_nodes_default_and_nothing_of_them_changes() -> None:
    call_command("migrate", "django_ztask", "0005", verbosity=0)
    for n, state in enumerate(["QUEUED", "RUNNING", "SUCCEEDED", "FAILED"]):
        write_old_row(f"old-{n}", state)
    fields = [field.attname for field in Task._meta.local_fields if field.attname not in ADDED]
    before = list(Task.objects.order_by("uuid").values(*fields))
    call_command("migrate", "django_ztask", verbosity=0)
    assert list(Task.objects.order_by("uuid").values(*fields)) == before
    assert set(Task.objects.values_list("pool", flat=True)) == {""}
    assert journal.due(connection, NOW, 5, (), SLOTS) == ["old-0"]
    write_old_row("late", "QUEUED")  # by a caller that has not been started anew
    assert [task.pool for task in journal.claim(connection, BOOT, ["old-0", "late"], NOW, (), SLOTS)] == [
        "",
        "",
    ]
    call_command("migrate", "django_ztask", "0005", verbosity=0)
    assert len(Task.objects.values(*fields)) == 5
    call_command("migrate", "django_ztask", verbosity=0)


def test_the_index_of_queued_rows_begins_with_the_pool() -> None:
    with connection.cursor() as cursor:
        constraints = connection.introspection.get_constraints(cursor, "django_ztask_task")
    assert constraints["ztask_queued"]["columns"] == ["pool", "priority", "next_attempt", "created"]
