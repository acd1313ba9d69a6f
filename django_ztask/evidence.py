"""What explain.py asks about a task: its row, the nodes and what they answer, the keys, the disk, the clocks."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django_ztask import __version__, aside, control, looking, pauses, registry, serialize, sql
from django_ztask.conf import conf, keys
from django_ztask.errors import MacError, MessageError, NoAnswer, Refused, UnknownTask
from django_ztask.findings import Evidence, NodeSeen
from django_ztask.lifecycle import GREENLET, SUSPECTS
from django_ztask.serialize import Payload
from django_ztask.sql import operations as texts

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper as Connection

# Seconds that a node has for its answer.
PATIENCE = 1.0


def gather(
    connection: Connection, task_id: str, held: Callable[[str], bool | None] = lambda boot: None
) -> Evidence | None:
    """Everything about a task. None: there is no such row. Asks every known node, and imports the module of the task
    function (when its row is authentic). `held`: whether a boot's lock file is held (None: not seen from here)."""
    row = looking.read(connection, task_id)
    if row is None:
        return None
    key = _key(row)
    return Evidence(
        row=row,
        now=time.time(),
        version=__version__,
        nodes=[_seen(node, held(node["boot"])) for node in looking.nodes(connection)],
        key=key,
        unknown=None if key is None else _unknown(row["function_name"]),
        allow_pickle=conf.pickle,
        ahead=_ahead(connection, row),
        running=_running(connection, row),
        pauses=pauses.current(connection),
        max_crashes=conf.max_crashes,
        free=_free(connection),
        headroom=conf.headroom,
        skew=_skew(connection),
        unapplied=_unapplied(connection),
    )


def _key(row: dict[str, Any]) -> int | None:
    """Which of our keys has signed it."""
    payload = Payload(row["codec"], row["args"], row["kwargs"])
    for number, key in enumerate(keys("row")):
        try:
            serialize.verify(row["uuid"], row["function_name"], payload, row["mac"], [key])
        except MacError:
            continue
        return number
    return None


def _unknown(name: str) -> str | None:
    try:
        registry.find(name)
    except UnknownTask as error:
        return str(error)
    return None


def _seen(node: dict[str, Any], held: bool | None) -> NodeSeen:
    answer, error = None, ""
    began = time.time()
    try:
        answer = dict(control.ask(node["url"], "ping", PATIENCE).value or {})
    except NoAnswer:
        error = "silence"
    except Refused as refused:
        error = refused.kind if refused.kind in ("stale", "mac") else "refused"
    except MacError:
        error = "mac"
    except (MessageError, OSError):  # (an address that is none: zmq's errors are of this kind too)
        error = "silence"
    if answer is not None and isinstance(answer.get("time"), int | float):
        # By how much it cannot be explained by the way there and back.
        ended = time.time()
        answer["ahead"] = min(0.0, answer["time"] - began) or max(0.0, answer["time"] - ended)
    if answer is not None and answer.get("pid") != node["pid"]:
        answer, error = None, "silence"  # another node has its address now
    if error == "silence" and node["left"] > 0 and node["host"] != socket.gethostname():
        error = "elsewhere"
    known = {name: node[name] for name in ("boot", "name", "host", "pid", "url", "version", "left")}
    return NodeSeen(**known, answer=answer, error=error, held=held)


def _rivals(row: dict[str, Any]) -> tuple[str, ...]:
    """The pools that share its places. (Whether a node gives those that leave it to it to its children is not asked.)"""
    home = aside.home(str(row["pool"]))
    return next((pools for pools in (("", GREENLET), SUSPECTS) if home in pools), (home,))


def _ahead(connection: Connection, row: dict[str, Any]) -> int:
    """Due tasks that start before it, where it is to run; no more than 10,001 are counted."""
    due = row["next_attempt"]
    if row["status"] != "QUEUED" or not isinstance(due, int | float) or not isinstance(row["priority"], int):
        return 0
    pools, priority = _rivals(row), row["priority"]
    with looking.reading(connection) as cursor:
        values = [*pools, time.time(), priority, priority, due, due, row["uuid"], 10_001]
        cursor.execute(texts.AHEAD.format(_places(pools)), values)
        return int(cursor.fetchone()[0])


def _running(connection: Connection, row: dict[str, Any]) -> int:
    """Tasks that run where it is to run."""
    pools = _rivals(row)
    with looking.reading(connection) as cursor:
        cursor.execute(texts.RUNNING.format(_places(pools)), pools)
        return int(cursor.fetchone()[0])


def _places(values: tuple[str, ...]) -> str:
    return ", ".join(["%s"] * len(values))


def _free(connection: Connection) -> int | None:
    """Bytes, where the journal's disk is this machine's."""
    if connection.vendor != "sqlite":
        return None
    database = Path(str(connection.settings_dict["NAME"]).removeprefix("file:").partition("?")[0])
    try:
        return shutil.disk_usage(database.parent).free
    except OSError:
        return None


def _skew(connection: Connection) -> float:
    """By how many seconds the database's clock is ahead of ours."""
    before = time.time()
    with looking.reading(connection) as cursor:
        cursor.execute(f"SELECT {sql.of(connection).NOW}")
        there = float(cursor.fetchone()[0])
    return there - (before + time.time()) / 2


def _unapplied(connection: Connection) -> list[str]:
    """Migrations of ours."""
    from django.db.migrations.loader import MigrationLoader

    loader = MigrationLoader(connection)
    missing = set(loader.disk_migrations or ()) - set(loader.applied_migrations or ())
    return sorted(f"{app}.{name}" for app, name in missing if app == "django_ztask")
