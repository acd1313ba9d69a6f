"""The committer's poison row: in a batch of fifty ends the database refuses one. The others are written, each
once, and so is the guilty one, in plainer words. The real thread, on both databases.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection
from django.db.backends.signals import connection_created
from msgspec import structs

from django_ztask.lifecycle import Kind
from django_ztask.models import Attempt, Task
from django_ztask.rows import Finish
from tests.integration.helpers import BOOT, claim, ending, new_task, record
from ztaskd import events
from ztaskd.batch import Stop
from ztaskd.group_commit import GroupCommit
from ztaskd.inbox import Inbox
from ztaskd.storage import storage_for

pytestmark = pytest.mark.both_databases

LIMIT = 1_000_000  # bytes that SQLite takes in one text, in these tests


@pytest.fixture
def short_texts() -> Iterator[None]:
    """SQLite refuses texts beyond LIMIT, as it does beyond a billion bytes."""

    def limit(connection: Any, **kwargs: Any) -> None:
        if connection.vendor == "sqlite":
            connection.connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LIMIT)

    connection_created.connect(limit, weak=False)
    yield
    connection_created.disconnect(limit)


def forbid(table: str, column: str) -> None:
    """The database refuses every text with "poison" in that column, as somebody's own constraint may."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"ALTER TABLE {table} ADD CHECK ({column} NOT LIKE '%poison%')")
            return
        for event in ("INSERT", "UPDATE"):
            cursor.execute(
                f"CREATE TRIGGER no_{column}_{event} BEFORE {event} ON {table} WHEN NEW.{column} LIKE '%poison%' "
                "BEGIN SELECT RAISE(ABORT, 'CHECK constraint failed'); END"
            )


def fifty(guilty: Kind, **texts: Any) -> list[Finish]:
    """The ends of fifty claimed tasks, of all kinds; the guilty one stands in the middle."""
    kinds = [Kind.SUCCESS, Kind.FAILURE, Kind.INTERRUPTED, Kind.REFUSED, Kind.NOT_STARTED]
    tasks = claim(*record(*(new_task(n, retry_count=n % 2) for n in range(50))))
    ends = [ending(task, kinds[n % 5], **plain(kinds[n % 5])) for n, task in enumerate(tasks)]
    ends[25] = ending(tasks[25], guilty, **{**plain(guilty), **texts})
    return ends


def plain(kind: Kind) -> dict[str, Any]:
    if kind is Kind.SUCCESS:
        return {"result": '"done"'}
    return {} if kind is Kind.NOT_STARTED else {"exception": "E: no", "traceback": "Traceback: no"}


def commit(ends: list[Finish]) -> tuple[list[Finish], list[str], int]:
    """Has the real thread write them in one batch: who was fenced, what was emitted, how many answers came."""
    inbox = Inbox(lambda wake: None)
    posted: list[Callable[[], None]] = []
    answers: list[Any] = []
    commits = GroupCommit(
        storage_for("default"), BOOT, inbox, posted.append, answers.append, lambda connection: True
    )
    commits.held.update((end.task.id, end.attempt) for end in ends)
    for end in ends:
        inbox.end(end)
    inbox.put(Stop())
    thread = threading.Thread(target=commits.run)
    thread.start()
    thread.join(30)
    commits.abandon = True
    assert not thread.is_alive(), "it goes on and on"
    assert commits.held == {}
    emitted: list[str] = []
    before = list(events._subscribers)
    events._subscribers[:] = [lambda event, fields: emitted.append(event)]
    for callback in posted:
        callback()
    events._subscribers[:] = before
    return [end for answer in answers for end in answer.fenced], emitted, len(answers)


NUL, LONE, BYTES = "a\0b", "a\ud800b", b"caf\xe9".decode("utf-8", "surrogateescape")
REFUSED = [
    *((Kind.SUCCESS, "result", f'"{text}"') for text in (NUL, LONE)),
    *((Kind.FAILURE, column, text) for column in ("exception", "traceback") for text in (NUL, LONE, BYTES)),
    *((Kind.INTERRUPTED, column, LONE) for column in ("exception", "traceback")),
]


def check(ends: list[Finish], guilty: Finish) -> Task:
    """All are written once, as their verdicts say. Returns the guilty one's row."""
    rows = {row.uuid: row for row in Task.objects.all()}
    for end in ends:
        row = rows[end.task.id]
        assert (row.status, row.attempts) == (end.verdict.status.value, 1)
        assert row.retry_count == end.verdict.retries_left
        assert (row.failures, row.interruptions) == (
            int(end.outcome.kind is Kind.FAILURE),
            int(end.outcome.kind is Kind.INTERRUPTED),
        )
        if end is not guilty and end.outcome.kind is Kind.SUCCESS:
            assert row.result == '"done"'
    unsuccessful = [end for end in ends if end.outcome.kind not in (Kind.SUCCESS, Kind.NOT_STARTED)]
    written = Attempt.objects.values_list("task_id", "kind")
    assert sorted(written) == sorted((end.task.id, end.outcome.kind.value) for end in unsuccessful)
    others = Attempt.objects.exclude(task_id=guilty.task.id)
    assert set(others.values_list("exception", flat=True)) == {"E: no"}
    return rows[guilty.task.id]


@pytest.mark.parametrize(("kind", "column", "text"), REFUSED)
def test_characters_that_a_database_refuses_stop_nobody(
    kind: Kind, column: str, text: str, vendor: str
) -> None:
    ends = fifty(kind, **{column: text})
    fenced, emitted, answers = commit(ends)
    row = check(ends, ends[25])
    assert (fenced, emitted.count("row_refused")) == ([], 1)
    assert answers <= 55
    found = row if kind is Kind.SUCCESS else Attempt.objects.get(task_id=row.uuid)
    if "\0" not in text:
        assert getattr(found, column) == text.encode("ascii", "backslashreplace").decode()
    elif kind is Kind.SUCCESS:
        assert row.result is not None
        assert row.result.startswith("repr:its outcome could not be written: ")
    else:
        assert Attempt.objects.get(task_id=row.uuid).exception.startswith(
            "its outcome could not be written: "
        )


@pytest.mark.parametrize(
    ("table", "column", "kind", "text"),
    [
        ("task", "result", Kind.SUCCESS, "result"),
        ("task", "last_exception", Kind.FAILURE, "exception"),
        ("task", "last_exception", Kind.REFUSED, "exception"),
        ("task", "traceback", Kind.FAILURE, "traceback"),
        ("attempt", "exception", Kind.FAILURE, "exception"),
        ("attempt", "exception", Kind.INTERRUPTED, "exception"),
        ("attempt", "traceback", Kind.FAILURE, "traceback"),
    ],
)
def test_what_a_constraint_refuses_is_written_in_plain_words(
    table: str, column: str, kind: Kind, text: str, vendor: str
) -> None:
    ends = fifty(kind, **{text: '"poison \u20ac"'})
    forbid(f"django_ztask_{table}", column)
    fenced, emitted, answers = commit(ends)
    row = check(ends, ends[25])
    assert fenced == []
    assert emitted.count("row_refused") == 2  # as it was, and in ASCII
    assert answers <= 55
    reason = "its outcome could not be written: IntegrityError"
    if kind is Kind.SUCCESS:
        assert row.result == f"repr:{reason}"
    else:
        assert Attempt.objects.get(task_id=row.uuid).exception == reason
    if kind in (Kind.FAILURE, Kind.REFUSED):
        assert row.last_exception == reason


def test_a_result_that_is_too_long_for_the_database_is_left_out(short_texts: None, vendor: str) -> None:
    text = '"' + "x" * LIMIT + '"'
    ends = fifty(Kind.SUCCESS, result=text)
    fenced, emitted, _ = commit(ends)
    row = check(ends, ends[25])
    refused = vendor == "sqlite"  # (PostgreSQL takes a thousand times as much)
    assert (fenced, row.result) == (
        [],
        "repr:its outcome could not be written: DataError" if refused else text,
    )
    assert emitted.count("row_refused") == refused


def test_several_guilty_ones_are_each_found(vendor: str) -> None:
    ends = fifty(Kind.SUCCESS, result='"poison"')
    for n in (1, 11, 41):
        outcome = structs.replace(ends[n].outcome, exception="poison")
        ends[n] = structs.replace(ends[n], outcome=outcome)
    forbid("django_ztask_task", "result")
    forbid("django_ztask_attempt", "exception")
    fenced, emitted, answers = commit(ends)
    assert (fenced, emitted.count("row_refused")) == ([], 4)
    assert answers <= 60
    assert Task.objects.filter(status="RUNNING").count() == 0
    reason = "its outcome could not be written: IntegrityError"
    assert Task.objects.get(uuid=ends[25].task.id).result == f"repr:{reason}"
    guilty = Attempt.objects.filter(exception=reason).values_list("task_id", flat=True)
    assert set(guilty) == {ends[n].task.id for n in (1, 11, 41)}


@pytest.mark.parametrize("kind", [Kind.SUCCESS, Kind.FAILURE])
def test_an_end_that_is_refused_in_any_words_is_not_repeated_for_ever(kind: Kind, vendor: str) -> None:
    ends = fifty(kind)
    task_id = ends[25].task.id
    with connection.cursor() as cursor:
        if vendor == "postgresql":
            cursor.execute(
                f"ALTER TABLE django_ztask_task ADD CHECK (started IS NULL OR uuid <> '{task_id}')"
            )
        else:
            cursor.execute(
                f"CREATE TRIGGER no BEFORE UPDATE ON django_ztask_task WHEN NEW.uuid = '{task_id}' AND "
                "NEW.started IS NOT NULL BEGIN SELECT RAISE(ABORT, 'CHECK constraint failed'); END"
            )
    fenced, emitted, _ = commit(ends)
    row = Task.objects.get(uuid=task_id)
    assert (fenced, row.status) == ([], "SUCCEEDED" if kind is Kind.SUCCESS else "FAILED")
    assert row.last_exception == "its outcome could not be written: IntegrityError"
    assert Task.objects.filter(status="RUNNING").count() == 0
    assert "row_refused" in emitted
