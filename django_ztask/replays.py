"""The record of replays: who, when, which, how many; and by it a replay that was stopped is gone on with.

One that goes on writes where it is with each batch of rows, in their transaction, and gives a sign of life now and then.
"""

from __future__ import annotations

import getpass
import json
import os
import socket
import time
from typing import TYPE_CHECKING, Any

import msgspec
from django.db import transaction

from django_ztask import journal, operations, rows, sql
from django_ztask.filters import Condition, Filter
from django_ztask.looking import epoch, reading
from django_ztask.operations import START, Position
from django_ztask.sql import operations as texts

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper as Connection

# Seconds after which one that has given no sign is taken for dead; it gives one every SIGN seconds.
SILENCE, SIGN = 60.0, 10.0


class TakenOver(Exception):
    """Another process goes on with this replay, or has ended it: it took this one for dead."""


class Replay(msgspec.Struct):
    """One that has begun. `words`: its filter as it was typed, by which it is known again."""

    id: int
    words: str
    wanted: Filter
    limit: int | None
    serial: bool
    started: float | None
    horizon: str | None
    due: float
    matched: int
    queued: int
    position: Position
    by: str
    pid: int
    seen: float
    age: float  # of its last sign of life, seconds

    @property
    def is_dead(self) -> bool:
        """Killed, or stopped. (Of another host's, or beyond a reboot, only the silence tells.)"""
        return self.age > SILENCE or (self.by == who() and not _runs(self.pid))

    @property
    def left(self) -> int | None:
        """How many more its limit allows."""
        return None if self.limit is None else max(0, self.limit - self.queued)


def who() -> str:
    """user@host"""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a number without a name, as in containers
        user = str(os.geteuid())
    return f"{user}@{socket.gethostname()}"[:255]


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def begin(
    connection: Connection, wanted: Filter, words: str, limit: int | None, matched: int, serial: bool
) -> Replay:
    """Writes down that one begins. What fails from now on is not for it; but what has failed, by whatever clock, is."""
    now = time.time()
    horizon = max(now, operations.latest(connection, operations.replayable(connection, wanted)) or now)
    kept = {"words": words, **msgspec.to_builtins(wanted)}
    kept |= {"limit": limit} if limit is not None else {}
    kept |= {"serial": True} if serial else {}
    replay_id = record(connection, kept, matched=matched, started=now, horizon=horizon)
    known = {replay.id: replay for replay in unfinished(connection)}
    begun = known[replay_id]
    # Beside one that goes on, its due time: so both together start tasks in the order of their calls. (Looked for when
    # this one can be seen: of two that begin at once, the second one finds the first.)
    earlier = [other for other in known.values() if other.id < replay_id and not other.is_dead]
    if earlier:
        begun.due = earlier[0].due
        with connection.cursor() as cursor:
            cursor.execute(texts.SET_DUE, [begun.due, replay_id])
    return begun


def record(
    connection: Connection,
    kept: dict[str, Any],
    *,
    matched: int,
    started: float,
    queued: int = 0,
    finished: float | None = None,
    horizon: float | None = None,
) -> int:
    """A row. Returns its id."""
    stamp = rows.stamper(connection)
    text = texts.BEGIN.format(
        now=sql.of(connection).NOW, json="%s::jsonb" if connection.vendor == "postgresql" else "%s"
    )
    values = [
        *(stamp(started), None if finished is None else stamp(finished), who(), os.getpid()),
        *(json.dumps(kept), matched, queued, None, None if horizon is None else stamp(horizon)),
        started,
    ]
    with connection.cursor() as cursor:
        cursor.execute(text, values)
        return int(cursor.fetchone()[0])


def unfinished(connection: Connection) -> list[Replay]:
    """Those that go on or were stopped, the first begun first."""
    with reading(connection) as cursor:
        cursor.execute(texts.UNFINISHED.format(now=sql.of(connection).NOW))
        found = cursor.fetchall()
    return [_replay(connection, row) for row in found]


def _replay(connection: Connection, row: Any) -> Replay:
    number, started, by, pid, kept, matched, queued, position, horizon, due, seen, age = row
    kept = json.loads(kept)
    words, limit, serial = kept.pop("words", ""), kept.pop("limit", None), kept.pop("serial", False)
    return Replay(
        id=number,
        words=words,
        wanted=msgspec.convert(kept, Filter),
        limit=limit,
        serial=serial,
        started=epoch(connection, started),
        horizon=horizon,
        due=due,
        matched=matched,
        queued=queued,
        position=Position(*json.loads(position)) if position else START,
        by=by,
        pid=pid,
        seen=seen,
        age=age,
    )


def take_over(connection: Connection, replay: Replay) -> bool:
    """Goes on with one that is dead. False when somebody else was faster."""
    by, pid = who(), os.getpid()
    with connection.cursor() as cursor:
        text = texts.TAKE_OVER.format(now=sql.of(connection).NOW)
        cursor.execute(text, [by, pid, replay.id, replay.pid, replay.seen])
        if not cursor.rowcount:
            return False
    replay.by, replay.pid = by, pid
    return True


def condition(connection: Connection, replay: Replay) -> Condition:
    """The rows it is for."""
    where, values = operations.replayable(connection, replay.wanted)
    if replay.horizon is None:
        return where, values
    return f"{where} AND {texts.FAILED_UNTIL[connection.vendor]}", [*values, replay.horizon]


def step(connection: Connection, replay: Replay, number: int, retry_count: int) -> list[str] | None:
    """Queues the next `number` rows, at most, in one transaction with its place in the record. Returns their ids: none
    when somebody else has had them all. None: there are no more. Raises TakenOver, with nothing queued."""
    found = operations.walk(connection, condition(connection, replay), replay.position, number)
    if not found:
        return None
    with transaction.atomic(using=connection.alias):
        ids = [position.uuid for position in found]
        queued = operations.replay(connection, ids, replay.due, retry_count)
        _write(connection, replay, texts.ADVANCE, len(queued), json.dumps(found[-1]))
    replay.position = found[-1]
    replay.queued += len(queued)
    return queued


def give_sign(connection: Connection, replay: Replay) -> None:
    """Raises TakenOver."""
    _write(connection, replay, texts.SEEN)


def finish(connection: Connection, replay: Replay) -> None:
    """Raises TakenOver."""
    _write(connection, replay, texts.FINISH, rows.stamp(connection, time.time()))


def _write(connection: Connection, replay: Replay, statement: str, *values: Any) -> None:
    with connection.cursor() as cursor:
        text = statement.format(now=sql.of(connection).NOW)
        cursor.execute(text, [*values, replay.id, replay.by, replay.pid])
        if not cursor.rowcount:
            raise TakenOver


def replay_failed(connection: Connection, now: float, retry_count: int) -> tuple[int, int]:
    """journal.replay_failed, written down: --replayfailed, in the transaction of its caller."""
    queued, left_out = journal.replay_failed(connection, now, retry_count)
    record(connection, {"words": "--replayfailed"}, matched=queued, queued=queued, started=now, finished=now)
    return queued, left_out
