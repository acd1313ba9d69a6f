"""When the database refuses the data itself: which row is guilty, and what becomes of that one.

Works in the journal's thread, for its GroupCommit. What is wrong with the database is not in here.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from django_ztask import journal, upkeep
from django_ztask.rows import Finish
from ztaskd.batch import Batch
from ztaskd.storage import Storage


class Refusals:
    """`persist` writes a batch; `held` is what the node holds; `emit` tells the log."""

    def __init__(
        self,
        storage: Storage,
        boot: str,
        held: dict[str, int],
        persist: Callable[[Batch], None],
        emit: Callable[..., None],
    ) -> None:
        self._storage = storage
        self._boot = boot
        self._held = held
        self._persist = persist
        self._emit = emit

    def isolate(self, batch: Batch, error: Exception) -> bool:
        """One row at a time, so that one which the database refuses does not stop the others. True when it
        was this batch's only one: it has been dealt with."""
        parts = batch.parts()
        if len(parts) > 1:
            for part in parts:
                self._persist(part)
            return False
        try:
            self._refuse(batch, error)
        except Exception as worse:  # given up: the sweep or reconcile comes back to it
            self._emit("row_refused", task_id="unknown", error=worse)
        return True

    def _refuse(self, batch: Batch, error: Exception) -> None:
        """An outcome is written in ASCII, or without its texts; a row that cannot be read is FAILED; a look
        is done again, row by row."""
        task_id = next(iter([f.task.id for f in batch.finishes] + batch.names + batch.found), "a look")
        self._emit("row_refused", task_id=task_id, error=error)
        for finish in batch.finishes:
            self._write_plainly(finish, error)
        for name in batch.names + batch.found:
            self.fail_unreadable(name, error)
        if batch.look is not None:
            with self._storage.transaction(True) as connection:
                upkeep.fail_undecodable(connection, time.time())
            connection, unknown = self._storage.connection(), batch.look.unknown
            for pools, number in batch.look.wants:
                for name in journal.due(connection, time.time(), number, unknown, pools):
                    self._persist(Batch(found=[name], pools=pools))

    def _write_plainly(self, finish: Finish, error: Exception) -> None:
        reason = f"its outcome could not be written: {type(error).__name__}"
        plain = finish.in_ascii()
        if plain == finish:
            plain = finish.without_texts(reason)
        if plain != finish:
            self._persist(Batch(finishes=[plain]))
        else:
            self._give_up(finish, reason)

    def _give_up(self, finish: Finish, reason: str) -> None:
        """Refused in any words: the least that ends it. Should even that fail, an at_most_once task stays
        held, since it must not run again; another one is given back by reconcile."""
        attempt = self._held.get(finish.task.id)
        if attempt is None:
            return
        if not finish.task.at_most_once:
            del self._held[finish.task.id]
        with self._storage.transaction(True) as connection:
            upkeep.give_up(connection, self._boot, finish.fenced_by(attempt), reason)
        self._held.pop(finish.task.id, None)

    def fail_unreadable(self, task_id: str, error: Exception) -> None:
        """QUEUED -> FAILED, and a line about it."""
        with self._storage.transaction(True) as connection:
            upkeep.refuse(connection, task_id, time.time(), f"its row cannot be read: {error}"[:500])
        self._emit("row_unreadable", id=task_id, error=error)
