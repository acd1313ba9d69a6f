"""What goes into a row and what comes out: NewTask, Claimed, Finish, and their values for SQL.

No statement lives here; journal.py has them all. Times are epoch seconds.
"""

from __future__ import annotations

import datetime
import functools
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from django.db import connections
from django.utils import timezone
from msgspec.structs import replace

from django_ztask import lifecycle, masking
from django_ztask.conf import read
from django_ztask.lifecycle import Event, Kind, Outcome, Status, Verdict
from django_ztask.progress import Progress
from django_ztask.serialize import Payload

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper as Connection

Stamp = Callable[[float], Any]


class NewTask(msgspec.Struct, frozen=True):
    """A task as its caller hands it over."""

    id: str
    function_name: str
    payload: Payload
    mac: str
    created: float
    due: float
    queue: str
    priority: int
    retry_count: int
    policy: dict[str, Any]
    pool: str = ""


class Claimed(msgspec.Struct):
    """A row this node has claimed. `attempt` is the fence of its finish."""

    id: str
    function_name: str
    payload: Payload
    mac: str
    created: str
    due: float
    priority: int
    retries_left: int
    attempt: int
    replays: int
    crashes: int
    policy: dict[str, float]
    pool: str = ""
    hidden: tuple[int | str, ...] = ()  # arguments that nobody is to see: positions and keywords

    @property
    def at_most_once(self) -> bool:
        """True when it must not start again once it has started."""
        return bool(self.policy.get("at_most_once"))

    @property
    def order(self) -> tuple[int, float, str, str]:
        """What starts first: the higher priority, then the earlier due time, then the earlier call."""
        return (-self.priority, self.due, self.created, self.id)


class Finish(msgspec.Struct, frozen=True):
    """The end of one attempt, to be written. `started` is None when it never began. `progress`: what it said last."""

    task: Claimed
    attempt: int
    verdict: Verdict
    outcome: Outcome
    started: float | None
    finished: float
    progress: Progress | None = None

    def fenced_by(self, attempt: int) -> Finish:
        """The same end, of the attempt that the journal knows."""
        return self if attempt == self.attempt else replace(self, attempt=attempt)

    def in_ascii(self) -> Finish:
        """The same end, with every character that is not ASCII escaped."""
        old = self.outcome
        result = old.result
        if result is not None and not result.isascii() and not result.startswith("repr:"):
            result = json.dumps(json.loads(result))
        exception, traceback, result = (_escape(text) for text in (old.exception, old.traceback, result))
        return replace(self, outcome=replace(old, result=result, exception=exception, traceback=traceback))

    def without_texts(self, reason: str) -> Finish:
        """The same end, with a plain `reason` in place of texts that the database refused."""
        if self.outcome.kind is Kind.SUCCESS:
            return replace(self, outcome=Outcome(Kind.SUCCESS, result=f"repr:{reason}"))
        outcome = Outcome(self.outcome.kind, exception=reason, killed=self.outcome.killed)
        return replace(self, outcome=outcome)


def _escape(text: str | None) -> str | None:
    return None if text is None else text.encode("ascii", "backslashreplace").decode()


def inserted(connection: Connection, task: NewTask) -> tuple[Any, ...]:
    return (
        task.id,
        task.function_name,
        task.payload.args,
        task.payload.kwargs,
        task.retry_count,
        task.due,
        stamp(connection, task.created),
        task.queue,
        task.priority,
        task.payload.codec,
        task.mac,
        json.dumps(task.policy) if task.policy else None,
        task.pool,
    )


def claimed(row: Sequence[Any]) -> Claimed:
    uuid, name, codec, args, kwargs, mac, created, due, *numbers, meta, pool = row
    priority, retries, attempt, replays, crashes = numbers
    payload = Payload(codec, args, kwargs)
    policy, hidden = _policy(meta) if meta else ({}, ())
    created, due = str(created), float(due)
    return Claimed(
        uuid,
        name,
        payload,
        mac,
        created,
        due,
        priority,
        retries,
        attempt,
        replays,
        crashes,
        policy,
        pool,
        hidden,
    )


def _policy(meta: str) -> tuple[dict[str, float], tuple[int | str, ...]]:
    """The call's own policy, and which of its arguments nobody is to see; what somebody wrote into the column by hand and is none counts as nothing."""
    found = json.loads(meta)
    if not isinstance(found, dict):
        return {}, ()
    policy = {name: value for name, value in found.items() if type(value) in (int, float)}
    if found.get("at_most_once") is True:
        policy["at_most_once"] = True
    return policy, masking.of_meta(found) if "sensitive" in found else ()


def succeeded(stamp: Stamp, boot: str, finish: Finish) -> tuple[Any, ...]:
    """The most frequent end in few columns: the others stay as they are."""
    started = None if finish.started is None else stamp(finish.started)
    return (finish.task.id, boot, finish.attempt, started, stamp(finish.finished), finish.outcome.result)


def finished(stamp: Stamp, boot: str, finish: Finish) -> tuple[Any, ...]:
    verdict, outcome = finish.verdict, finish.outcome
    status = verdict.status
    ended = stamp(finish.finished)  # (the statement leaves it out when the task is queued again)
    failed = status is Status.FAILED
    return (
        status.value,
        verdict.retries_left,
        verdict.due if verdict.event is Event.RETRY else None,
        None if finish.started is None else stamp(finish.started),
        ended,
        ended if failed else None,
        int(outcome.kind is Kind.FAILURE),
        int(outcome.kind is Kind.INTERRUPTED),
        int(outcome.kind is Kind.CRASH),
        outcome.result,
        outcome.exception
        if verdict.event in (Event.RETRY, Event.FAIL) or outcome.kind is Kind.CRASH
        else None,
        outcome.traceback if verdict.event in (Event.RETRY, Event.FAIL) else None,
        boot if status.is_final else None,
        None if outcome.killed else lifecycle.new_pool(finish.task.pool, outcome.kind),
        finish.task.id,
        boot,
        finish.attempt,
    )


def attempted(stamp: Stamp, boot: str, finish: Finish) -> tuple[Any, ...]:
    return (
        finish.task.id,
        finish.attempt,
        finish.outcome.kind.value,
        boot,
        None if finish.started is None else stamp(finish.started),
        stamp(finish.finished),
        finish.outcome.exception or "",
        finish.outcome.traceback or "",
    )


def stamp(connection: Connection, epoch: float) -> Any:
    """Epoch seconds as the database's own value of a DateTimeField."""
    return stamper(connection)(epoch)


def stamper(connection: Connection) -> Stamp:
    """`stamp` for many times of one connection."""
    if connection.vendor != "sqlite":
        return functools.partial(_adapted, connection)
    alias = connection.alias
    zone = str(connection.timezone) if read("USE_TZ") else str(read("TIME_ZONE"))

    def stamp(epoch: float) -> str:
        """A text: most of it stays the same for a second."""
        seconds, micros = divmod(round(epoch * 1e6), 1_000_000)
        text = _second(alias, zone, seconds)
        return f"{text}.{micros:06d}" if micros else text

    return stamp


@functools.lru_cache(maxsize=16)
def _second(alias: str, zone: str, seconds: int) -> str:
    return str(_adapted(connections[alias], seconds))


def _adapted(connection: Any, epoch: float) -> Any:
    moment = datetime.datetime.fromtimestamp(epoch, datetime.UTC)
    if not read("USE_TZ"):
        moment = timezone.make_naive(moment, timezone.get_default_timezone())
    return connection.ops.adapt_datetimefield_value(moment)
