"""Who is interrupted while others wait for its commit leaves nobody waiting."""

from __future__ import annotations

import itertools
import linecache
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, connections

from django_ztask import patience, together
from django_ztask.models import Task
from tests.integration.conftest import Messages
from tests.integration.crowd import Call, Queue, everything, named, nobody_else_writes, wait_for
from tests.project.shop.tasks import add

pytestmark = pytest.mark.both_databases


@pytest.fixture(autouse=True)
def interrupts() -> Iterator[None]:
    """Ctrl-C interrupts; also where the tests run in a shell's background, which has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def somebody_waits() -> bool:
    """A statement waits in PostgreSQL for a lock. (SQLite does not tell; there, who leads notices all the same.)"""
    if connection.vendor != "postgresql":
        return True
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return bool(cursor.fetchone()[0])


def test_who_is_interrupted_while_it_leads_leaves_nobody_waiting() -> None:
    """The real thing: SIGINT, while the main thread waits for the database."""
    # (Its first look at a new file closes the log of an old one: in a finalizer, where Python drops an interrupt.)
    patience.patiently(connection, lambda: None)
    queue = Queue()
    main = threading.main_thread().ident
    assert main is not None

    def interrupt() -> None:
        wait_for(lambda: len(queue.party.waiting) == 1)  # (the main thread's call comes first)
        for n in range(3):
            queue.calls.append(Call(lambda n=n: add.async_(n)))
        wait_for(lambda: len(queue.party.waiting) == 4)
        queue.leave()
        wait_for(queue.is_led)
        # (psycopg does not notice a signal that comes just before it waits for the server)
        wait_for(somebody_waits)
        connections.close_all()
        signal.pthread_kill(main, signal.SIGINT)

    with nobody_else_writes():
        threading.Thread(target=interrupt).start()
        with pytest.raises(KeyboardInterrupt):
            add.async_("interrupted")
    connection.close()  # (PostgreSQL may still be at it: an interrupt says nothing about the statement)
    made = [call.ends().id for call in queue.calls] + [add.async_("next").id]
    assert sorted(Task.objects.exclude(args='["interrupted"]').values_list("uuid", flat=True)) == sorted(made)


def test_who_is_interrupted_while_it_waits_is_forgotten(messages: Messages) -> None:
    queue = Queue()
    main = threading.main_thread().ident
    assert main is not None

    def interrupt() -> None:
        wait_for(lambda: len(queue.party.waiting) == 1)
        while (
            queue.party.waiting
        ):  # (a signal that comes just before it waits does not wake it: Python's lock)
            signal.pthread_kill(main, signal.SIGINT)
            time.sleep(0.05)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        add.async_("interrupted")
    assert not queue.party.waiting
    queue.leave()
    handle = add.async_("next")
    assert everything() == named(messages) == [handle.id]


def lines_of_a_leader() -> Iterator[int]:
    """Each line of together.py that a leading call comes to, counted: interrupted there, until it is never."""
    for number in itertools.count(1):
        queue = Queue()
        reached = 0

        seen = set()

        def trace(frame: Any, event: str, arg: Any, number: int = number, seen: Any = seen) -> Any:
            nonlocal reached
            if frame.f_code.co_filename != together.__file__:
                return None
            place = (id(frame), frame.f_lineno)
            # (Python takes no signal on its way out of a `with`, which comes back to that line.)
            leaves = place in seen and linecache.getline(
                together.__file__, frame.f_lineno
            ).lstrip().startswith("with ")
            seen.add(place)
            if event == "line" and not leaves:
                reached += 1
                if reached == number:
                    raise KeyboardInterrupt
            return trace

        others = threading.Thread(target=lambda queue=queue: _three_more(queue))
        others.start()
        sys.settrace(trace)
        try:
            add.async_("interrupted")
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(None)
        others.join()
        assert len([call.ends() for call in queue.calls]) == 3
        wait_for(lambda queue=queue: queue.party.leader is None)
        assert not queue.party.waiting
        if reached < number:
            return
        yield number


def _three_more(queue: Queue) -> None:
    """Calls behind the main thread's, which is made to lead when they are all there."""
    deadline = time.monotonic() + 0.05
    while not queue.party.waiting and time.monotonic() < deadline:
        time.sleep(0.0002)  # (it may have been interrupted before it came)
    before = len(queue.party.waiting)
    for n in range(3):
        queue.calls.append(Call(lambda n=n: add.async_(n)))
    wait_for(lambda: len(queue.party.waiting) == before + 3)
    queue.leave()


def test_wherever_the_leader_is_interrupted_the_others_have_their_rows() -> None:
    lines = list(lines_of_a_leader())
    assert len(lines) > 40
    assert Task.objects.exclude(args='["interrupted"]').count() == 3 * (len(lines) + 1)
