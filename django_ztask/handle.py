"""TaskHandle: what a caller keeps of a task it handed over: id, status, result."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from asgiref.sync import sync_to_async

from django_ztask import cancelling, progress, serialize, unconfirmed
from django_ztask.conf import conf, keys
from django_ztask.errors import NotFlushed, ResultTimeout, ResultUnavailable, TaskFailed
from django_ztask.lifecycle import Status
from django_ztask.progress import Progress

if TYPE_CHECKING:
    from django_ztask.models import Task

R = TypeVar("R")

# Seconds between two looks at the row: soon at first, for tasks of milliseconds; then 2 % of what was
# waited already, so that a long wait costs the database little.
FIRST_POLL, LAST_POLL = 0.002, 0.25

# Seconds that a look waits for rows of this process that are not written yet (confirm=False).
FLUSH = 5.0

DISABLED = "DISABLED"


class TaskHandle(Generic[R]):
    """One task; `TaskHandle(id)` is that of any task by its id. `status` is what the last look at the row showed (QUEUED right after the call)."""

    _result: str | None = None
    _traceback: str | None = None
    _progress: Progress | None = None

    def __init__(self, id: str, status: str = Status.QUEUED.value) -> None:
        self.id = id
        self._status = status

    @property
    def status(self) -> str:
        """QUEUED, RUNNING, SUCCEEDED, FAILED or CANCELLED as of the last look (`refresh()` looks again);
        DISABLED when ZTASKD_DISABLED kept the call from being recorded."""
        return self._status

    @property
    def progress(self) -> Progress | None:
        """What the last attempt has said of how far it is, as of the last look: `.done`, `.total`, `.text`, `.at` (epoch
        seconds) and `.fraction`. None: nothing so far. It is written down twice a second at most."""
        return self._progress

    def refresh(self) -> TaskHandle[R]:
        """Looks at the row and returns this handle. Raises ResultUnavailable when the row is gone, and
        NotFlushed when it is not written yet (confirm=False), since the database is away."""
        self._look(FLUSH)
        return self

    def cancel(self) -> bool:
        """Cancels the task. True: it is CANCELLED, or it runs and its node ends it. False: it had ended before.

        A queued task never starts. In one that runs TaskCancelled is raised: it may clean up, and is CANCELLED. In a
        child process it has 1.5 s for that, then the process is killed. In a slot nothing can end a task that never
        waits, or that swallows TaskCancelled: if it returns all the same it has SUCCEEDED, since its work is done;
        whatever else happens to it, it is CANCELLED, and never runs again. `status` is then CANCELLED, or RUNNING
        until `refresh()` or `result()` finds the end.

        What was cancelled is on disk when this returns; inside a transaction, when that commits (keep it short: on
        PostgreSQL the row of a running task stays locked until then, and its node waits for it). No node is needed.
        Raises ResultUnavailable when there is no row, and NotFlushed as `refresh()` does.
        """
        from django.db import connections

        connection = connections[conf.database]
        may_wait = unconfirmed.is_busy()
        status = cancelling.cancel(connection, self.id)
        if status is None and may_wait:
            unconfirmed.flush(FLUSH)
            status = cancelling.cancel(connection, self.id)
        if status is None:  # it has ended, or is not there
            return self.refresh()._status == Status.CANCELLED
        self._status = status
        return True

    async def acancel(self) -> bool:
        """`cancel` for coroutines."""
        return await sync_to_async(self.cancel)()

    def _look(self, patience: float) -> None:
        row = self._load(patience)
        self._status, self._result = row.status, row.result
        self._traceback = row.traceback or row.last_exception
        said = progress.of_row(row.progress)
        self._progress = said[1] if said is not None and said[0] == row.attempts else None

    def result(self, timeout: float | None = None) -> R:
        """What the task function returned, waiting up to `timeout` seconds (None: for ever).

        Raises TaskFailed (with the traceback text), ResultTimeout, or ResultUnavailable. Inside a
        transaction on the journal's database a task that is not done raises ResultTimeout at once: the
        node sees the row only after that transaction, so the wait could only be for itself.
        """
        started, waited = time.monotonic(), 0.0
        while not self._is_done(FLUSH if timeout is None else min(FLUSH, max(0.0, timeout - waited))):
            waited = time.monotonic() - started
            if _in_transaction():
                raise ResultTimeout(
                    f"task {self.id} is {self._status}, and result() was called inside a transaction: no node "
                    "can see the task before that commits. Ask for the result after it."
                )
            if timeout is not None and waited >= timeout:
                raise ResultTimeout(
                    f"task {self.id} is still {self._status} after {waited:.3g} s; it goes on"
                )
            pause = min(max(FIRST_POLL, waited / 50), LAST_POLL)
            time.sleep(pause if timeout is None else min(pause, timeout - waited))
        return self._value()

    def _is_done(self, patience: float) -> bool:
        try:
            self._look(patience)
        except NotFlushed:
            return False
        return Status(self._status).is_final

    def _value(self) -> R:
        if self._status == Status.FAILED:
            raise TaskFailed(f"task {self.id} failed:\n{self._traceback}")
        if self._status == Status.CANCELLED:
            raise ResultUnavailable(f"task {self.id} was cancelled")
        try:
            value: Any = serialize.load_result(
                self._result, self.id, keys("result"), allow_pickle=conf.pickle
            )
        except Exception as error:  # a pickle's own code may raise anything
            raise ResultUnavailable(
                f"task {self.id} succeeded, but what it returned cannot be had: {error}"
            ) from error
        return value

    def _load(self, patience: float) -> Task:
        from django_ztask.models import Task

        may_wait = unconfirmed.is_busy()  # (asked first: what is written meanwhile is found)
        rows = Task.objects.using(conf.database).filter(uuid=self.id)
        rows = rows.only("status", "result", "traceback", "last_exception", "progress", "attempts")
        row = rows.first()
        if row is None and may_wait:
            unconfirmed.flush(patience)
            row = rows.first()
        if row is None:
            raise ResultUnavailable(
                f"there is no task {self.id}: it was rolled back, refused, pruned or deleted"
            )
        return row

    def __repr__(self) -> str:
        return f"<task {self.id} {self._status}>"


class EagerHandle(TaskHandle[R]):
    """The handle of a call that ran in the caller (ZTASKD_ALWAYS_EAGER): there is no row."""

    def __init__(
        self, id: str, value: R, status: Status = Status.SUCCEEDED, said: Progress | None = None
    ) -> None:
        super().__init__(id, status.value)
        self._returned = value
        self._progress = said

    def refresh(self) -> TaskHandle[R]:
        return self

    def cancel(self) -> bool:
        return self._status == Status.CANCELLED

    def result(self, timeout: float | None = None) -> R:
        if self._status == Status.CANCELLED:
            raise ResultUnavailable(f"task {self.id} was cancelled")
        return self._returned


class DisabledHandle(TaskHandle[R]):
    """The handle of a call that ZTASKD_DISABLED kept from being recorded."""

    def __init__(self, id: str) -> None:
        super().__init__(id, DISABLED)

    def refresh(self) -> TaskHandle[R]:
        return self

    def cancel(self) -> bool:
        return False

    def result(self, timeout: float | None = None) -> R:
        raise ResultUnavailable(f"task {self.id} was not executed: ZTASKD_DISABLED is set")


def _in_transaction() -> bool:
    from django.db import connections

    connection = connections[conf.database]
    return bool(connection.in_atomic_block or not connection.get_autocommit())
