"""How far this node's running tasks are: the hub keeps what each has said last, and hands it to the journal's thread
twice a second at most, where it is written in a transaction of its own that nothing depends on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from django_ztask import journal, progress
from django_ztask.progress import Kept, Progress
from django_ztask.rows import Claimed

if TYPE_CHECKING:
    from ztaskd.dispatch import Dispatcher
    from ztaskd.storage import Storage
    from ztaskd.workers.pool import Workers


class Reports:
    """`dispatcher` knows what runs here, in slots and children; `hand_over` gives the journal's thread what is new, and
    says whether it could take it. Tasks in slots are heard at once, those in children are asked."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        hand_over: Callable[[Mapping[str, Progress]], bool],
        children: Sequence[Workers],
    ) -> None:
        self._running = dispatcher.running
        dispatcher.attempts.last_words = self.end
        self._hand_over = hand_over
        self._children = children
        self._said: dict[str, Kept] = {}
        self._handed: dict[str, Progress] = {}
        progress.deliver_to(self.heard)

    @property
    def latest(self) -> dict[str, Progress]:
        """By the id of the running task."""
        return {task_id: kept.last for task_id, kept in dict(self._said).items() if kept.last is not None}

    def heard(self, task_id: str, attempt: int, said: Progress) -> None:
        """A task has said something, in whatever thread. (Also one that is over: nobody wants to know any more.)"""
        kept = self._said.get(task_id)
        if kept is None or kept.attempt != attempt:
            if not any(task.id == task_id and task.attempt == attempt for task in self._running()):
                return
            self._said[task_id] = kept = Kept(attempt)
        kept.last = said

    def ask(self) -> None:
        """What do those in children say?"""
        for workers in self._children:
            for worker in workers.busy().values():
                worker.pass_on_progress()

    def flush(self) -> None:
        """What is new goes to the journal. (When that is behind, it takes what is the latest then.)"""
        self.ask()
        if not self._said:
            return
        running = {(task.id, task.attempt) for task in self._running()}
        for task_id, kept in list(self._said.items()):
            if (task_id, kept.attempt) not in running:  # a thread of its own has said it after the end
                self._forget(task_id)
        new = {task_id: said for task_id, said in self.latest.items() if said != self._handed.get(task_id)}
        if new and self._hand_over(new):
            self._handed.update(new)

    def end(self, task: Claimed) -> Progress | None:
        """The attempt is over. Returns what it said last."""
        if not self._said:
            return None
        kept = self._said.get(task.id)
        self._forget(task.id)
        return None if kept is None or kept.attempt != task.attempt else kept.last

    def _forget(self, task_id: str) -> None:
        self._said.pop(task_id, None)
        self._handed.pop(task_id, None)


def write(storage: Storage, boot: str, held: Mapping[str, int], said: Mapping[str, Progress]) -> None:
    """In the journal's thread: each under the fence that `held` knows. It promises nothing: what cannot be written is
    dropped (why, the next claim or end finds out), and nothing is synced for its sake."""
    known = [(task_id, held[task_id], last) for task_id, last in said.items() if task_id in held]
    if not known:
        return
    try:
        with storage.batch(False) as connection:
            journal.note_progress(connection, boot, known)
    except Exception:
        storage.close()
