"""record: rows are written as they were given, in the caller's transaction or in chunks of their own."""

from __future__ import annotations

import datetime

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.utils import DatabaseError
from django.test.utils import CaptureQueriesContext
from msgspec import structs

from django_ztask import journal
from django_ztask.models import Attempt, Node, Task
from django_ztask.rows import NewTask
from tests.integration.helpers import ADD, new_task, race, record, row

pytestmark = pytest.mark.both_databases


def test_a_row_holds_what_was_given() -> None:
    policy = {"retry_count": 7, "timeout": 1.5}
    task = new_task("Zürich", due=2_000_000_000.25, created=1_800_000_000.000001, priority=-3, policy=policy)
    record(structs.replace(task, queue="mail", pool="process"))
    written = row(task.id)
    assert written.function_name == ADD
    assert (written.args, written.kwargs, written.codec, written.mac) == (
        '["Zürich"]',
        "{}",
        "json",
        task.mac,
    )
    assert (written.status, written.queue, written.priority) == ("QUEUED", "mail", -3)
    assert written.pool == "process"
    assert (written.retry_count, written.next_attempt, written.meta) == (2, 2_000_000_000.25, policy)
    assert written.created == datetime.datetime(2027, 1, 15, 8, 0, 0, 1, tzinfo=datetime.UTC)
    counts = (written.attempts, written.failures, written.crashes, written.interruptions, written.replays)
    assert counts == (0, 0, 0, 0, 0)
    unset = (written.failed, written.node, written.claimed, written.started, written.finished, written.result)
    assert unset == (None,) * 6


def test_text_that_databases_dislike_is_kept() -> None:
    [task_id] = record(new_task("a\0b", "'; DROP TABLE django_ztask_task; --", "%s"))
    assert row(task_id).args.startswith("[")
    assert Task.objects.count() == 1


def test_nothing_is_recorded_for_nothing() -> None:
    with CaptureQueriesContext(connection) as queries:
        journal.record(connection, [])
    assert len(queries) == 0


def test_one_row_is_one_statement_in_no_transaction_of_ours() -> None:
    with CaptureQueriesContext(connection) as queries:
        record()
    assert [query["sql"].split()[0] for query in queries] == ["INSERT"]


@pytest.mark.parametrize("count", [2, 5, 33, journal.CHUNK, journal.CHUNK + 1, 2 * journal.CHUNK + 3])
def test_many_rows_are_one_statement_for_each_chunk(count: int) -> None:
    """And so one transaction: a chunk stands or falls as a whole."""
    with CaptureQueriesContext(connection) as queries:
        made = record(*[new_task(n) for n in range(count)])
    assert [query["sql"].split()[0] for query in queries] == ["INSERT"] * -(-count // journal.CHUNK)
    assert list(Task.objects.order_by("created").values_list("uuid", flat=True)) == made


def test_a_chunk_that_fails_leaves_no_row_and_those_before_it_stay() -> None:
    tasks = [new_task(n) for n in range(journal.CHUNK * 2)]
    tasks[-1] = tasks[journal.CHUNK]
    with pytest.raises(IntegrityError):
        record(*tasks)
    assert Task.objects.count() == journal.CHUNK


def test_inside_a_transaction_all_chunks_stand_or_fall_with_it() -> None:
    with transaction.atomic():
        record(*[new_task(n) for n in range(journal.CHUNK + 5)])
        assert Task.objects.count() == journal.CHUNK + 5
        transaction.set_rollback(True)
    assert Task.objects.count() == 0


def test_of_two_who_record_the_same_id_one_is_told() -> None:
    task = new_task(1)
    results = race(*[lambda own: journal.record(own, [task])] * 2)
    assert {type(result) for result in results} == {IntegrityError, type(None)}
    assert Task.objects.count() == 1


def test_many_who_record_at_once_all_succeed() -> None:
    def record_some(own: object) -> list[NewTask]:
        tasks = [new_task(n) for n in range(20)]
        for task in tasks[:10]:
            journal.record(own, [task])  # type: ignore[arg-type]
        journal.record(own, tasks[10:])  # type: ignore[arg-type]
        return tasks

    results = race(*[record_some] * 6)
    assert {task.id for tasks in results for task in tasks} == set(
        Task.objects.values_list("uuid", flat=True)
    )
    assert Task.objects.count() == 120


def test_what_the_database_refuses_reaches_the_caller() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE django_ztask_task RENAME TO elsewhere")
    with pytest.raises(DatabaseError):
        record()


def test_the_named_filters_select_by_state() -> None:
    now = 1000.0
    record(new_task(1, due=now), new_task(2, due=now + 1))
    assert Task.objects.queued().count() == 2
    assert Task.objects.due(now).count() == 1
    assert Task.objects.due().count() == 2
    assert [
        Task.objects.running().count(),
        Task.objects.succeeded().count(),
        Task.objects.failed().count(),
    ] == [0] * 3


def test_rows_name_themselves() -> None:
    assert str(row(record()[0])).endswith(f"{ADD} QUEUED")
    assert str(Attempt(task_id="t", attempt=3, kind="failure")) == "attempt 3 of t: failure"
    assert str(Node(name="web", pid=7, host="h")) == "web (pid 7 on h)"


def test_created_is_stored_so_that_its_text_sorts_as_the_calls_did() -> None:
    moments = [1_800_000_000.0 + fraction for fraction in (0, 0.000001, 0.1, 0.5, 0.999999, 1)]
    made = record(*[new_task(n, created=moment) for n, moment in enumerate(moments)])
    assert list(Task.objects.order_by("created").values_list("uuid", flat=True)) == made
