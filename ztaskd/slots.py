"""The greenlet pool, and what makes Django's connections fit for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

import gevent
from django.db import OperationalError
from django.db.backends.signals import connection_created
from gevent.queue import Queue

from django_ztask.errors import TaskCancelled, TaskInterrupted
from django_ztask.rows import Claimed
from ztaskd.cleaning import clean_connections
from ztaskd.storage import is_locked

# Seconds of work after which a slot lets the hub turn, however short its tasks are.
BREATH = 0.002

# Seconds between two attempts of a slot to get SQLite's lock: the shortest and the longest pause.
LOCK_POLL, LOCK_POLL_MAX = 0.001, 0.02


class Slots:
    """Up to `size` greenlets that live as long as the node, each running one task at a time.

    `run` raises nothing; should it do so all the same, `died` gets the dead greenlet.
    """

    def __init__(self, size: int, run: Callable[[Claimed], None], died: Callable[[Any], None]) -> None:
        self.size = size
        self.run = run
        self.died = died
        self.running: dict[Any, Claimed] = {}
        self.began: dict[Any, float] = {}  # time.monotonic()
        self._greenlets: list[Any] = []
        self._waiting: Queue[Claimed] = Queue()
        self._idle = 0
        self._breathed = 0.0

    def put(self, task: Claimed) -> None:
        """To the first free slot; slots are made when they are first needed."""
        self._waiting.put(task)
        if self._waiting.qsize() > self._idle and len(self._greenlets) < self.size:
            greenlet = gevent.spawn(self._live)
            greenlet.link_exception(self.died)
            self._greenlets.append(greenlet)
            self._idle += 1

    def take_back(self) -> list[Claimed]:
        """What no slot has started."""
        taken = []
        while not self._waiting.empty():
            taken.append(self._waiting.get_nowait())
        return taken

    def interrupt(self) -> None:
        """Raises TaskInterrupted in every running task."""
        for greenlet in list(self.running):
            greenlet.kill(TaskInterrupted("the node stops"), block=False)

    def cancel(self, ids: Collection[str]) -> list[Claimed]:
        """Raises TaskCancelled in those of these tasks that run. Returns those that no slot has started: they wait
        no longer."""
        for greenlet, task in self.running.items():
            if task.id in ids:
                gevent.get_hub().loop.run_callback(self._throw, greenlet, task)
        waiting = self.take_back()
        for task in waiting:
            if task.id not in ids:
                self._waiting.put(task)
        return [task for task in waiting if task.id in ids]

    def hold(self, ids: Collection[str] | None, begun: Callable[[Claimed], bool]) -> list[Claimed]:
        """Returns what no slot has started of these (None: of all). What only waits in its slot (for its child, or to
        be written down) is interrupted there."""
        for greenlet, task in self.running.items():
            if (ids is None or task.id in ids) and not begun(task):
                gevent.get_hub().loop.run_callback(self._throw_back, greenlet, task, begun)
        waiting = self.take_back()
        for task in waiting:
            if ids is not None and task.id not in ids:
                self._waiting.put(task)
        return [task for task in waiting if ids is None or task.id in ids]

    def _throw(self, greenlet: Any, task: Claimed) -> None:
        """On the hub. (Greenlet.kill() would hit whatever the slot runs by then: the next task, perhaps.)"""
        if self.running.get(greenlet) is task:
            greenlet.throw(TaskCancelled("somebody has cancelled it"))

    def _throw_back(self, greenlet: Any, task: Claimed, begun: Callable[[Claimed], bool]) -> None:
        """The same; by now it may have begun."""
        if self.running.get(greenlet) is task and not begun(task):
            greenlet.throw(TaskInterrupted("its queue is paused"))

    def _live(self) -> None:
        while True:
            try:
                task = self._waiting.get()
                try:
                    self._run_one(task)
                finally:
                    clean_connections()
                self._breathe()
            except (TaskInterrupted, TaskCancelled):
                continue  # it came when its task was over already

    def _run_one(self, task: Claimed) -> None:
        self._idle -= 1
        greenlet = gevent.getcurrent()
        self.began[greenlet] = time.monotonic()
        self.running[greenlet] = task
        try:
            self.run(task)
        finally:
            del self.running[greenlet], self.began[greenlet]
            self._idle += 1

    def _breathe(self) -> None:
        now = time.monotonic()
        if now - self._breathed > BREATH:
            gevent.sleep(0)
            self._breathed = time.monotonic()


def prepare_connections(hub_thread: int, thread: Callable[[], int]) -> None:
    """From now on, a connection opened by a greenlet waits for SQLite's lock without stopping the hub."""

    def prepare(connection: Any, **kwargs: Any) -> None:
        if connection.vendor == "sqlite" and thread() == hub_thread:
            connection.transaction_mode = "IMMEDIATE"
            connection.connection.execute("PRAGMA busy_timeout = 0")
            if _wait_for_lock not in connection.execute_wrappers:
                connection.execute_wrappers.append(_wait_for_lock)
                # A busy COMMIT (a reader, where there is no WAL) leaves its transaction open: it can be repeated.
                connection._commit = partial(_patiently, connection, connection._commit)

    connection_created.connect(prepare, weak=False, dispatch_uid="ztaskd.slots")


def _wait_for_lock(execute: Any, sql: Any, params: Any, many: Any, context: Any) -> Any:
    """An execute wrapper."""
    return _patiently(context["connection"], execute, sql, params, many, context)


def _patiently(connection: Any, work: Callable[..., Any], *args: Any) -> Any:
    """Tries again for as long as the project's own `timeout` option says; other greenlets go on."""
    patience = connection.settings_dict["OPTIONS"].get("timeout", 5.0)
    deadline, pause = time.monotonic() + patience, LOCK_POLL
    while True:
        try:
            return work(*args)
        except OperationalError as error:
            if not is_locked(error) or time.monotonic() >= deadline:
                raise
        gevent.sleep(pause)
        pause = min(2 * pause, LOCK_POLL_MAX)
