"""How far tasks are, on its way into the journal: under the fence, all at once, and never in anybody's way."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connection, connections, transaction
from msgspec.structs import replace

from django_ztask import journal, progress
from django_ztask.handle import TaskHandle
from django_ztask.lifecycle import Kind
from django_ztask.progress import Progress
from django_ztask.rows import Claimed
from tests.integration.commanding import Command, command
from tests.integration.helpers import BOOT, OTHER, claim, claim_new, ending, finish, new_task, record, row
from ztaskd import progress as node
from ztaskd.storage import storage_for

pytestmark = pytest.mark.both_databases

__all__ = ["command"]


def said(done: int, text: str = "") -> Progress:
    return Progress(done, 10, text, 1.5)


def note(task: Claimed, done: int, boot: str = BOOT, attempt: int | None = None) -> None:
    fence = task.attempt if attempt is None else attempt
    with transaction.atomic():
        journal.note_progress(connection, boot, [(task.id, fence, said(done))])


def noted(task_id: str) -> tuple[int, int] | None:
    """Its attempt, and how much was done."""
    found = progress.of_row(row(task_id).progress)
    return None if found is None else (found[0], int(found[1].done))


def test_each_is_written_under_its_fence() -> None:
    task = claim_new()
    note(task, 1)
    assert noted(task.id) == (1, 1)
    note(task, 2, boot=OTHER)
    note(task, 3, attempt=0)
    note(task, 4, attempt=2)
    assert noted(task.id) == (1, 1)
    finish(task)
    note(task, 5)
    assert noted(task.id) == (1, 1), "it has ended"


def test_a_stale_attempt_writes_nothing_over_the_next_one() -> None:
    first = claim_new()
    note(first, 7)
    finish(first, Kind.FAILURE)
    [second] = claim(first.id, now=row(first.id).next_attempt)
    assert TaskHandle(first.id).refresh().progress is None, "a retry begins with none"
    note(second, 1)
    note(first, 8)
    assert noted(first.id) == (2, 1)


def test_all_of_a_node_are_written_by_one_statement() -> None:
    tasks = [claim_new() for _ in range(50)]
    other = claim_new(boot=OTHER)
    asked = [(task.id, task.attempt, said(n, "Zürich \x1b\n'\"")) for n, task in enumerate(tasks)]
    asked.append((other.id, 1, said(9)))
    executed: list[str] = []

    def count(execute: Any, sql: str, *rest: Any) -> Any:
        executed.append(sql)
        return execute(sql, *rest)

    with connection.execute_wrapper(count):
        journal.note_progress(connection, BOOT, asked)
        journal.note_progress(connection, BOOT, [])
    assert len(executed) == 1
    assert [noted(task.id) for task in tasks] == [(1, n) for n in range(50)]
    assert noted(other.id) is None


@pytest.mark.parametrize("kind", [Kind.SUCCESS, Kind.FAILURE, Kind.CANCELLED, Kind.INTERRUPTED, Kind.CRASH])
def test_the_last_word_is_written_with_the_end(kind: Kind) -> None:
    task, silent = claim_new(), claim_new()
    ends = [replace(ending(task, kind), progress=said(9, "last")), ending(silent, kind)]
    assert journal.finish(connection, BOOT, ends) == []
    assert (noted(task.id), noted(silent.id)) == ((1, 9), None)
    journal.finish(connection, OTHER, [replace(ending(task, kind), progress=said(10))])
    assert noted(task.id) == (1, 9)
    assert TaskHandle(task.id).refresh().progress == said(9, "last")


def test_the_journals_thread_writes_what_it_holds_under_the_fence_it_knows() -> None:
    task, other = claim_new(), claim_new()
    with connection.cursor() as cursor:  # a claim that was adopted
        cursor.execute("UPDATE django_ztask_task SET attempts = 2 WHERE uuid = %s", [task.id])
    node.write(storage_for("default"), BOOT, {task.id: 2}, {task.id: said(4), other.id: said(4)})
    assert (noted(task.id), noted(other.id)) == ((2, 4), None)


def test_a_database_in_trouble_costs_the_progress_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task = claim_new()
    storage = storage_for("default")
    with monkeypatch.context() as patched:
        patched.setattr("django_ztask.sql.progress.SQLITE", "UPDATE nothing")
        patched.setattr("django_ztask.sql.progress.POSTGRESQL", "UPDATE nothing")
        node.write(storage, BOOT, {task.id: 1}, {task.id: said(4)})
    assert noted(task.id) is None
    node.write(storage, BOOT, {task.id: 1}, {task.id: said(5)})
    assert noted(task.id) == (1, 5)


def test_a_row_that_somebody_has_locked_holds_nobody_up(vendor: str) -> None:
    if vendor == "sqlite":
        pytest.skip("there is one lock for all")
    task, free = claim_new(), claim_new()
    locked, done = threading.Event(), threading.Event()

    def lock() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM django_ztask_task WHERE uuid = %s FOR UPDATE", [task.id])
            locked.set()
            done.wait(30)
        connections.close_all()

    thread = threading.Thread(target=lock)
    thread.start()
    assert locked.wait(30)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '1ms'")
        journal.note_progress(connection, BOOT, [(each.id, 1, said(1)) for each in (task, free)])
    done.set()
    thread.join()
    assert (noted(task.id), noted(free.id)) == (None, (1, 1))


def test_show_tells_how_far_it_is(command: Command) -> None:
    task = claim_new()
    assert "progress" not in command("show", task.id)[1]
    note(task, 7)
    code, text = command("show", task.id)
    assert code == 0
    assert "progress      7 of 10 (70 %), " in text
    finish(task, Kind.FAILURE)
    claim(task.id, now=row(task.id).next_attempt)
    assert ", in attempt 1\n" in command("show", task.id)[1]


def test_a_task_that_has_said_nothing_has_none() -> None:
    [task_id] = record(new_task(1))
    assert TaskHandle(task_id).progress is None
    assert TaskHandle(task_id).refresh().progress is None
