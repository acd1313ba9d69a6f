"""A shared commit that fails: each call writes its own rows, and gets its own error or none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import DatabaseError, OperationalError, connection, connections

from tests.integration.conftest import Messages
from tests.integration.crowd import Queue, bad, everything, named, nobody_else_writes, record, wait_for
from tests.integration.helpers import forget_connections, new_task
from tests.project.shop.tasks import add

pytestmark = pytest.mark.both_databases

SHORT = 0.2  # seconds that a connection waits for a lock, in these tests


@pytest.mark.parametrize("place", [0, 1, 3])
def test_one_bad_row_fails_its_own_call_and_no_other(place: int, messages: Messages) -> None:
    tasks = [new_task(n) for n in range(4)]
    tasks[place] = bad()
    queue = Queue()
    queue.add(*map(record, tasks))
    queue.leave()
    outcomes = [call.ends() for call in queue.calls]
    good = sorted(task.id for n, task in enumerate(tasks) if n != place)
    assert isinstance(outcomes[place], DatabaseError)
    assert sorted(outcome for n, outcome in enumerate(outcomes) if n != place) == good
    assert everything() == named(messages) == good


def test_a_lone_bad_row_fails_and_the_next_call_does_not() -> None:
    with pytest.raises(DatabaseError):
        record(bad())()
    handle = add.async_(1)
    assert everything() == [handle.id]


def test_rows_that_were_committed_in_spite_of_an_error_are_there_once() -> None:
    """A COMMIT may have been made though it raised: then the others find their rows written."""
    task = new_task(1)
    record(task)()
    queue = Queue()
    queue.add(record(bad()), record(task))
    queue.leave()
    assert isinstance(queue.calls[0].ends(), DatabaseError)
    assert queue.calls[1].ends() == task.id
    assert everything() == [task.id]
    with pytest.raises(DatabaseError):  # (a lone call is told)
        record(task)()


@pytest.fixture
def short_patience(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    settings = connections.settings["default"]
    options = dict(settings["OPTIONS"])
    if "sqlite" in settings["ENGINE"]:
        options["timeout"] = SHORT
    else:
        options["options"] = f"-c lock_timeout={SHORT}s"
    forget_connections()
    monkeypatch.setitem(settings, "OPTIONS", options)
    yield
    forget_connections()


@pytest.mark.usefixtures("short_patience")
def test_when_the_lock_is_never_free_each_is_told_and_none_has_a_row(messages: Messages) -> None:
    queue = Queue()
    queue.add(*[lambda n=n: add.async_(n) for n in range(4)])
    with nobody_else_writes():
        queue.leave()
        outcomes = [call.ends() for call in queue.calls]
    assert [type(outcome) for outcome in outcomes] == [OperationalError] * 4
    assert (everything(), messages) == ([], [])
    assert add.async_(1).id in everything()


def test_when_the_leaders_connection_is_cut_the_others_have_their_rows(
    vendor: str, messages: Messages
) -> None:
    if vendor != "postgresql":
        pytest.skip("SQLite has no connection to cut")
    queue = Queue()
    queue.add(*[lambda n=n: add.async_(n) for n in range(4)])
    with nobody_else_writes():
        queue.leave()
        wait_for(queue.is_led)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", [queue.calls[0].backend])
        error = queue.calls[0].ends()
    made = sorted(call.ends().id for call in queue.calls[1:])
    assert isinstance(error, OperationalError)
    assert "terminat" in str(error), "the reason, not that the connection is closed by now"
    assert everything() == named(messages) == made
