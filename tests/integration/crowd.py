"""Threads that call at the same moment, in an order that the test chooses."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connections
from msgspec.structs import replace

from django_ztask import together
from django_ztask.announcement import Announcement
from django_ztask.models import Task
from tests.integration.conftest import Messages
from tests.integration.helpers import new_task

PATIENCE = 60.0  # seconds after which a test that waits has failed


def everything() -> list[str]:
    return sorted(Task.objects.values_list("uuid", flat=True))


def named(messages: Messages) -> list[str]:
    return sorted(name for names, _ in messages for name in names)


def wait_for(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


class Call(threading.Thread):
    """A thread that makes one call: its handle or its error."""

    def __init__(self, call: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self.call = call
        self.outcome: Any = None
        self.backend: int | None = None
        self.start()

    def run(self) -> None:
        try:
            if connections["default"].vendor == "postgresql":
                connections["default"].ensure_connection()
                self.backend = connections["default"].connection.info.backend_pid
            self.outcome = self.call()
        except BaseException as error:
            self.outcome = error
        finally:
            connections.close_all()

    def ends(self) -> Any:
        self.join(PATIENCE)
        assert not self.is_alive(), "it waits for ever"
        return self.outcome


@contextmanager
def nobody_else_writes() -> Iterator[Callable[[], None]]:
    """The journal's lock is another connection's. Its value lets go before the end."""
    held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with connections["default"].cursor() as cursor:
            if connections["default"].vendor == "postgresql":
                cursor.execute("BEGIN")
                cursor.execute("LOCK TABLE django_ztask_task IN EXCLUSIVE MODE")
            else:
                cursor.execute("BEGIN IMMEDIATE")
            held.set()
            let_go.wait(PATIENCE)
            cursor.execute("COMMIT")
        connections.close_all()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(PATIENCE)
    try:
        yield let_go.set
    finally:
        let_go.set()
        thread.join()


class Queue:
    """While the test leads, calls queue up behind it: the first of them leads when it leaves, with the others."""

    def __init__(self) -> None:
        self.party = together._party(connections["default"])
        self.seat = together.Seat([], Announcement())
        assert self.party.enter(self.seat)
        self.calls: list[Call] = []

    def add(self, *calls: Callable[[], Any]) -> None:
        for call in calls:
            self.calls.append(Call(call))
            wait_for(lambda: len(self.party.waiting) == len(self.calls))

    def leave(self) -> None:
        self.party.leave(self.seat)

    def is_led(self) -> bool:
        """The first call leads, and has taken the others along."""
        leader = self.party.leader
        return leader not in (None, self.seat) and not self.party.waiting


def record(task: Any) -> Callable[[], Any]:
    """A call with that row."""

    def call() -> str:
        said = Announcement()
        said.add([task], 0)
        connections["default"].ensure_connection()
        together.record(connections["default"], [task], said)
        return str(task.id)

    return call


def bad() -> Any:
    """A row that each database refuses."""
    return replace(new_task(1), payload=replace(new_task(1).payload, args="a\0b"), mac=None)  # type: ignore[arg-type]
