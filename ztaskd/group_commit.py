"""The journal's thread: claims and outcomes gather into one transaction (group commit).

Only this thread touches the committer's connection. Commit when idle, batch when busy, and leave the
door open to others.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable
from typing import Any

from gevent import monkey

from django_ztask import cancelling, crashpoints, journal
from django_ztask.rows import Claimed, Finish
from ztaskd import events, progress
from ztaskd.aside import Aside
from ztaskd.batch import Answer, Batch, Look, Pools
from ztaskd.calls import Calls
from ztaskd.inbox import Inbox
from ztaskd.refusals import Refusals
from ztaskd.storage import TROUBLE, Storage, is_refusal

# The native one: the patched version would make a hub of its own in this thread.
sleep = monkey.get_original("time", "sleep")

# Once in this many seconds one commit is fully synced: what a power cut can repeat.
SYNC = 1.0

RETRY_FIRST, RETRY_LAST = 0.05, 1.0  # seconds between attempts at a database that does not work


class GroupCommit:
    """Takes requests from `inbox`. `post` makes the hub call something: `answered`, for each transaction.
    `touch` writes something small, and says whether it could."""

    def __init__(
        self,
        storage: Storage,
        boot: str,
        inbox: Inbox,
        post: Callable[[Callable[[], None]], None],
        answered: Callable[[Answer], None],
        touch: Callable[[Any], bool],
    ) -> None:
        self.storage = storage
        self.boot = boot
        self.touch = touch
        self.held: dict[str, int] = {}  # id -> attempt: what this node has claimed and not finished
        self.abandon = False  # set by the hub: stop trying
        self.asked: float | None = None  # monotonic: since when the database owes an answer
        self._inbox = inbox
        self.post = post
        self._answered = answered
        self._unknown: frozenset[str] = frozenset()
        self.aside = Aside(boot)
        self._calls = Calls(self)
        self._refusals = Refusals(storage, boot, self.held, self._persist, self._emit)
        self.failing = False
        self.measure: Callable[[int, float], None] | None = None  # of each transaction: its rows, its seconds
        self._synced = time.monotonic()
        self._dirty = False

    def run(self) -> None:
        try:
            while True:
                self.asked = None
                batch = self._inbox.gather(self._until_sync())
                self.asked = time.monotonic()
                if self._until_sync() == 0.0 and (batch is None or not batch.size):
                    self._sync()
                if batch is None:
                    continue
                if batch.stop:
                    self._synced = float("-inf")  # the last commits are fully synced
                self._persist(batch)
                if batch.stop:
                    self._persist(self._inbox.rest())
                    return
                pause = self.storage.door_open(batch.size)
                if pause:
                    sleep(pause)
        finally:
            self.storage.close()

    def _until_sync(self) -> float | None:
        """Seconds until the commits so far are to be synced. None: they are."""
        return max(0.0, self._synced + SYNC - time.monotonic()) if self._dirty else None

    def _persist(self, batch: Batch) -> None:
        """Writes the batch, however long the database needs to work again. A refusal of the data itself
        is pinned down to its row; the others are committed without it."""
        pause = RETRY_FIRST
        while not self.abandon:
            self.asked = time.monotonic()
            try:
                self._commit(batch)
            except Exception as error:
                if not is_refusal(error):
                    self.degraded(error)
                    self.storage.close()
                    sleep(pause)
                    pause = min(2 * pause, RETRY_LAST)
                    continue
                if self._refusals.isolate(batch, error):
                    answer = Answer(named=len(batch.names), looked=batch.look is not None)
                    self.post(functools.partial(self._answered, answer))
            self.recovered()
            break
        if batch.said is not None:
            progress.write(self.storage, self.boot, self.held, batch.said)
        for number, call in enumerate(batch.calls):
            if number:
                sleep(self.storage.door_open())
            self._calls.do(call)

    def _commit(self, batch: Batch) -> None:
        answer = Answer(named=len(batch.names), looked=batch.look is not None)
        now = time.time()
        wanted = {batch.pools: [*batch.names, *batch.found]}
        if batch.look is not None:
            self._look(batch.look, now, wanted, answer)
        wanted = {pools: self._without_odd(dict.fromkeys(ids)) for pools, ids in wanted.items() if ids}
        if batch.finishes or wanted:
            crashpoints.reach("finish-gathered", batch.finishes)
            full = time.monotonic() - self._synced >= SYNC
            with self.storage.batch(full) as connection:
                answer.fenced = self._finish(connection, batch.finishes)
                crashpoints.reach("finish-uncommitted", batch.finishes)
                answer.aside = self.aside.put(connection, wanted)
                claims = {
                    pools: journal.claim(connection, self.boot, ids, now, self._unknown, pools)
                    for pools, ids in wanted.items()
                }
                claimed = [task for tasks in claims.values() for task in tasks]
                crashpoints.reach("claim-uncommitted", claimed)
            crashpoints.reach("finish-committed", batch.finishes)
            crashpoints.reach("claim-committed", claimed)
            if self.measure is not None and self.asked is not None:
                self.measure(len(batch.finishes) + len(claimed), time.monotonic() - self.asked)
            self._wrote(full, bool(claimed) or len(answer.fenced) < len(batch.finishes))
            for finish in batch.finishes:
                self.held.pop(finish.task.id, None)
            # A claim of what already runs here is adopted: its new fence counts, nothing starts again.
            answer.claimed = [task for task in claimed if task.id not in self.held]
            self.held.update((task.id, task.attempt) for task in claimed)
            # (What others have locked is theirs.)
            answer.more = {pools for pools in answer.more if claims.get(pools) or answer.aside}
            aside = 0 if batch.look else answer.aside
            if batch.names and len(claims.get(batch.pools, ())) + aside < len(wanted.get(batch.pools, ())):
                answer.missed = not {task.id for task in claimed}.issuperset(batch.names)
        self.post(functools.partial(self._answered, answer))

    def _look(self, look: Look, now: float, wanted: dict[Pools, list[str]], answer: Answer) -> None:
        """Adds to what is `wanted`, for each lane."""
        with self.storage.look() as connection:
            for pools, number in look.wants:
                ids = self.aside.due(connection, now, number, look.unknown, pools)
                wanted.setdefault(pools, []).extend(ids)
                if len(ids) >= number:
                    answer.more.add(pools)
            answer.next_due = journal.next_due(connection, now)
        self._unknown = look.unknown

    def _without_odd(self, ids: Iterable[str]) -> list[str]:
        """(SQLite's json_each() ends a text at a NUL: a row with such an id would be found for ever.)"""
        found = list(ids)
        for odd in [task_id for task_id in found if "\0" in task_id]:
            found.remove(odd)
            self._refusals.fail_unreadable(odd, ValueError("its id holds a NUL"))
        return found

    def _wrote(self, full: bool, anything: bool) -> None:
        """(A commit without a change syncs nothing.)"""
        if anything:
            self._dirty = not full
            self._synced = time.monotonic() if full else self._synced

    def _finish(self, connection: Any, finishes: list[Finish]) -> list[Finish]:
        """Each under the fence that `held` knows; what is not held any more is fenced out already."""
        known = [finish for finish in finishes if finish.task.id in self.held]
        fenced = [finish for finish in finishes if finish.task.id not in self.held]
        current = [finish.fenced_by(self.held[finish.task.id]) for finish in known]
        return fenced + journal.finish(connection, self.boot, current)

    def _sync(self) -> None:
        """One small commit, fully synced: with it, everything before it is on disk."""
        try:
            with self.storage.transaction(True) as connection:
                touched = self.touch(connection)
            self._dirty = not touched  # (without our row: when it is registered again)
        except TROUBLE as error:
            self.degraded(error)
            self.storage.close()
        self._synced = time.monotonic()

    def degraded(self, error: Exception) -> None:
        self.failing = True
        self._emit("journal_unavailable", error=error)

    def mark(self, connection: Any, task: Claimed) -> bool:
        """An at_most_once task is about to start. False when it is not ours any more: it must not."""
        attempt = self.held.get(task.id)
        return attempt is not None and journal.mark(connection, self.boot, task.id, attempt, time.time())

    def reconcile(self, connection: Any) -> list[str]:
        """Gives back the rows that the journal shows as ours and nobody here holds."""
        for task_id, function in cancelling.settle(connection, self.boot, time.time(), self.held):
            self._emit("task_cancelled", id=task_id, function=function)
        for task_id, function in journal.fail_interrupted(connection, self.boot, time.time(), self.held):
            self._emit("task_failed_interrupted", id=task_id, function=function)
        return journal.recover(connection, self.boot, self.held)

    def recovered(self) -> None:
        """After an error a commit may have happened unseen: rows that nobody here holds go back. Whether the
        journal works again is shown by a write only: a full disk can be read."""
        if self.failing:
            try:
                with self.storage.transaction(True) as connection:
                    self.reconcile(connection)
                    self.touch(connection)
            except TROUBLE:
                return
            self.failing = False
            self._emit("journal_back")

    def _emit(self, event: str, **fields: Any) -> None:
        self.post(functools.partial(events.emit, event, **fields))
