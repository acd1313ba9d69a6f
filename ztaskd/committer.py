"""The journal's thread: claims and outcomes gather into one transaction (group commit).

The hub posts requests and gets answers; only this thread touches the committer's connection, so the hub
never waits for the database. Commit when idle, batch when busy, and leave the door open to others.
"""

from __future__ import annotations

import collections
import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import gevent
from gevent import monkey
from gevent.event import AsyncResult, Event
from gevent.threadpool import ThreadPool

from django_ztask import journal
from django_ztask.rows import Claimed, Finish
from ztaskd import events
from ztaskd.storage import Storage

# Native ones: the patched versions would make a hub of their own in this thread.
SimpleQueue = monkey.get_original("queue", "SimpleQueue")
Empty = monkey.get_original("queue", "Empty")
sleep = monkey.get_original("time", "sleep")

# Rows of one transaction: SQLite's lock is held for about 2 ms.
BATCH = 200

# The lock is left free for at least this long, and for as long as it was held (seconds): back to back,
# commits starved sixteen callers (p99 3 s); with the pause it was 54 ms.
DOOR_OPEN = 0.001

# Once in this many seconds one commit is fully synced: what a power cut can repeat.
SYNC = 1.0

RETRY_FIRST, RETRY_LAST = 0.05, 1.0  # seconds between attempts at a database that does not work


@dataclass(slots=True)
class Batch:
    """What goes into one transaction."""

    finishes: list[Finish] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    look: Look | None = None
    calls: list[Call] = field(default_factory=list)
    stop: bool = False

    @property
    def size(self) -> int:
        return len(self.finishes) + len(self.names)


@dataclass(frozen=True, slots=True)
class Look:
    """Claim up to `want` due rows, and say when the next is due."""

    want: int
    unknown: frozenset[str]


@dataclass(frozen=True, slots=True)
class Call:
    """Run any journal verb in a transaction of its own; its value goes to `answer`."""

    verb: Callable[[Any], Any]
    answer: AsyncResult[Any]


@dataclass(frozen=True, slots=True)
class Names:
    ids: Sequence[str]


@dataclass(slots=True)
class Answer:
    """What one transaction brought."""

    claimed: list[Claimed] = field(default_factory=list)
    named: int = 0
    looked: bool = False
    more: bool = False
    next_due: float | None = None
    fenced: list[Finish] = field(default_factory=list)


STOP = object()


class Committer:
    """Hub side: `claim`, `look`, `finish`, `call`. `answered` is called on the hub for each transaction."""

    def __init__(self, storage: Storage, boot: str, answered: Callable[[Answer], None]) -> None:
        self.storage = storage
        self.boot = boot
        self.answered = answered
        self.held: dict[str, int] = {}  # id -> attempt: what this node has claimed and not finished
        self.unknown: frozenset[str] = frozenset()
        self.failing = False
        self._inbox: Any = SimpleQueue()
        self._outbox: collections.deque[Callable[[], None]] = collections.deque()
        self._posted = Event()
        self._wake = gevent.get_hub().loop.async_()
        self._wake.start(self._posted.set)
        self._pool = ThreadPool(1)
        self._thread: Any = None
        self._synced = time.monotonic()
        self._dirty = False
        self._abandon = False

    def start(self) -> None:
        self._thread = self._pool.spawn(self._run)
        self._thread.rawlink(lambda _: self._posted.set())

    def claim(self, ids: Sequence[str]) -> None:
        self._inbox.put(Names(ids))

    def look(self, want: int, unknown: frozenset[str]) -> None:
        self._inbox.put(Look(min(want, BATCH), unknown))

    def finish(self, finish: Finish) -> None:
        self._inbox.put(finish)

    def call(self, verb: Callable[[Any], Any], timeout: float | None = None) -> Any:
        """`verb(connection)` in a transaction of its own. Raises what it raised."""
        answer: AsyncResult[Any] = AsyncResult()
        self._inbox.put(Call(verb, answer))
        return answer.get(timeout=timeout)

    def reconcile(self) -> list[str]:
        """Gives back the rows that the journal shows as ours and nobody here holds."""
        return self.call(lambda connection: journal.recover(connection, self.boot, self.held))

    def stop(self, timeout: float) -> bool:
        """Writes what is left and ends the thread. False when it could not within `timeout` seconds: what
        was not written stays claimed, and is recovered at the next start."""
        if self._thread is None:
            return True
        self._inbox.put(STOP)
        self._thread.wait(timeout)
        self._abandon = True
        return bool(self._thread.ready())

    def serve(self) -> None:
        """The hub's side of the thread: hands its answers on, one after another. A service greenlet."""
        while True:
            self._posted.wait()
            self._posted.clear()
            while self._outbox:
                self._outbox.popleft()()
            if self._thread is not None and self._thread.ready() and not self._outbox:
                self._thread.get()  # raises what ended the thread
                return

    # -- the thread ---------------------------------------------------------------------------------

    def _run(self) -> None:
        self.storage.open()
        try:
            while True:
                batch = self._gather()
                if batch is None:
                    self._sync()
                    continue
                began = time.monotonic()
                self._persist(batch)
                if batch.stop:
                    self._persist(self._rest())
                    self._sync()
                    return
                sleep(max(DOOR_OPEN, time.monotonic() - began))
        finally:
            self.storage.close()
            self._wake.send()

    def _gather(self) -> Batch | None:
        """The next batch: waits for the first request, then takes what is there. None: time to sync."""
        batch = Batch()
        try:
            wait = max(0.0, self._synced + SYNC - time.monotonic()) if self._dirty else None
            self._add(batch, self._inbox.get(timeout=wait))
            while batch.size < BATCH and not batch.stop:
                self._add(batch, self._inbox.get_nowait())
        except Empty:
            pass
        empty = not (batch.size or batch.look or batch.calls or batch.stop)
        return None if empty else batch

    def _rest(self) -> Batch:
        """What came after STOP: outcomes only; there are no more claims."""
        batch = Batch()
        while not self._inbox.empty():
            item = self._inbox.get()
            if isinstance(item, Finish):
                batch.finishes.append(item)
        return batch

    def _add(self, batch: Batch, item: Any) -> None:
        if isinstance(item, Finish):
            batch.finishes.append(item)
        elif isinstance(item, Names):
            batch.names.extend(item.ids)
        elif isinstance(item, Look):
            batch.look = item
        elif isinstance(item, Call):
            batch.calls.append(item)
        else:
            batch.stop = True

    def _persist(self, batch: Batch) -> None:
        """Writes the batch, however long the database needs to work again. A refusal of the data itself
        is pinned down to its row; the others are committed without it."""
        pause = RETRY_FIRST
        while not self._abandon:
            try:
                self._commit(batch)
            except self.storage.unavailable as error:
                self._degraded(error)
                self.storage.close()
                sleep(pause)
                pause = min(2 * pause, RETRY_LAST)
                continue
            except Exception as error:
                self._isolate(batch, error)
            self._recovered()
            break
        for call in batch.calls:
            self._do(call)

    def _commit(self, batch: Batch) -> None:
        answer = Answer(named=len(batch.names), looked=batch.look is not None)
        now = time.time()
        ids: list[str] = []
        if batch.look is not None:
            connection = self.storage.connection()
            ids = journal.due(connection, now, batch.look.want, batch.look.unknown)
            answer.more = len(ids) >= batch.look.want
            answer.next_due = journal.next_due(connection, now)
            self.unknown = batch.look.unknown
        if batch.finishes or ids or batch.names:
            with self._transaction() as connection:
                answer.fenced = self._finish(connection, batch.finishes)
                wanted = list(dict.fromkeys([*batch.names, *ids]))
                claimed = journal.claim(connection, self.boot, wanted, now, self.unknown)
            for finish in batch.finishes:
                self.held.pop(finish.task.id, None)
            # A claim of what already runs here is adopted: its new fence counts, nothing starts again.
            answer.claimed = [task for task in claimed if task.id not in self.held]
            self.held.update((task.id, task.attempt) for task in claimed)
        self._post(functools.partial(self.answered, answer))

    def _finish(self, connection: Any, finishes: list[Finish]) -> list[Finish]:
        """Each under the fence that `held` knows; what is not held any more is fenced out already."""
        known = [finish for finish in finishes if finish.task.id in self.held]
        fenced = [finish for finish in finishes if finish.task.id not in self.held]
        current = [finish.fenced_by(self.held[finish.task.id]) for finish in known]
        return fenced + journal.finish(connection, self.boot, current)

    def _isolate(self, batch: Batch, error: Exception) -> None:
        """One by one, so that one row which the database refuses does not stop the others."""
        parts = [Batch(finishes=[finish]) for finish in batch.finishes]
        parts += [Batch(names=[name]) for name in batch.names]
        if batch.look is not None:
            parts.append(Batch(look=batch.look))
        if len(parts) > 1:
            for part in parts:
                self._persist(part)
        else:
            self._refuse(batch, error)

    def _refuse(self, batch: Batch, error: Exception) -> None:
        """The guilty one: an outcome is written without its texts; a claim or a look is given up."""
        self._emit("row_refused", error=error)
        for finish in batch.finishes:
            plain = finish.without_texts(f"its outcome could not be written: {type(error).__name__}")
            if plain == finish:
                self.held.pop(finish.task.id, None)  # nobody holds it now: reconcile gives it back
            else:
                self._persist(Batch(finishes=[plain]))
        answer = Answer(named=len(batch.names), looked=batch.look is not None)
        self._post(functools.partial(self.answered, answer))

    def _transaction(self) -> Any:
        full = time.monotonic() - self._synced >= SYNC
        if full:
            self._synced, self._dirty = time.monotonic(), False
        else:
            self._dirty = True
        return self.storage.transaction(full)

    def _sync(self) -> None:
        """One small commit, fully synced: with it, everything before it is on disk."""
        if not self._dirty:
            return
        try:
            with self.storage.transaction(True) as connection:
                self.storage.touch(connection, self.boot)
            self._dirty = False
        except self.storage.unavailable as error:
            self._degraded(error)
        self._synced = time.monotonic()

    def _do(self, call: Call) -> None:
        try:
            with self.storage.transaction(True) as connection:
                value = call.verb(connection)
        except BaseException as error:
            self._post(functools.partial(call.answer.set_exception, error))
        else:
            self._post(functools.partial(call.answer.set, value))

    def _degraded(self, error: Exception) -> None:
        self.failing = True
        self._emit("journal_unavailable", error=error)

    def _recovered(self) -> None:
        """After an error a commit may have happened unseen: rows that nobody here holds go back."""
        if self.failing:
            try:
                with self.storage.transaction(True) as connection:
                    journal.recover(connection, self.boot, self.held)
            except self.storage.unavailable:
                return
            self.failing = False
            self._emit("journal_back")

    def _emit(self, event: str, **fields: Any) -> None:
        self._post(functools.partial(events.emit, event, **fields))

    def _post(self, callback: Callable[[], None]) -> None:
        self._outbox.append(callback)
        self._wake.send()
