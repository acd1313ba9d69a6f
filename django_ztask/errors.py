"""Every exception of ztaskd. An error names the task or setting it is about and says what to do next."""

from __future__ import annotations


class ZtaskError(Exception):
    """Base of all errors raised by django_ztask and ztaskd."""


class ArgumentError(ZtaskError, TypeError):
    """An argument of a call cannot be carried to the node. Raised in the caller; nothing was recorded."""


class NotImportable(ZtaskError, TypeError):
    """The node could not import this task function by name. Raised in the caller; nothing was recorded."""


class UnknownTask(ZtaskError, LookupError):
    """No task function of this name is known to this process."""


class MacError(ZtaskError):
    """A row or a message carries a MAC that none of our keys made: it is not from this project."""

    reason = "mac"


class MessageError(ZtaskError, ValueError):
    """Bytes that are not a message of ours. `reason` is a short word for counting them."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


class NoAnswer(ZtaskError, TimeoutError):
    """No node answered a control message in time: none is there, or it is stopped or very busy. `taken`: somebody is
    there, and has taken it."""

    def __init__(self, reason: str, taken: bool = False) -> None:
        super().__init__(reason)
        self.taken = taken


class Refused(ZtaskError):
    """A node answered a control message, and will not do it. `kind` is one word for why."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


class TaskFailed(ZtaskError):
    """The task ended FAILED. The text holds the traceback as it was recorded."""


class ResultTimeout(ZtaskError, TimeoutError):
    """The result did not arrive in time. The task itself goes on."""


class ResultUnavailable(ZtaskError):
    """The task is done, but has no result to give: it was disabled, cancelled or deleted, or what it
    returned could not be serialised."""


class NotFlushed(ZtaskError, TimeoutError):
    """Calls with confirm=False are not committed in time. `ids`: of their tasks; they are still tried."""

    def __init__(self, ids: list[str], reason: str = "") -> None:
        first = ", ".join(ids[:5]) + (", ..." if len(ids) > 5 else "")
        super().__init__(
            f"{len(ids)} task(s) handed over with confirm=False are not committed yet{reason}: {first}"
        )
        self.ids = ids


class TimeLimitExceeded(ZtaskError, TimeoutError):
    """Raised inside a task that ran longer than its `timeout` (seconds)."""


class TaskInterrupted(BaseException):
    """Raised inside a task whose node stops before the task is done. The task is handed back and runs
    again at no cost. A BaseException, so that `except Exception` in a task does not swallow it."""


class TaskCancelled(BaseException):
    """Raised inside a task that somebody cancels: the task may clean up, and is CANCELLED. A task that raises it
    by itself is CANCELLED as well: no failure, no retry. A BaseException, as TaskInterrupted is."""
