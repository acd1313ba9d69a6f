"""Looking at rows as an operator does, who may meet ones that somebody has edited: lists, one task, the beginning of an
id. Times come as epoch seconds.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.db import transaction

from django_ztask import filters, sql
from django_ztask.filters import Filter
from django_ztask.sql import operations as texts

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper as Connection


@contextmanager
def reading(connection: Connection) -> Iterator[Any]:
    """A cursor for looking at rows that somebody may have edited: on SQLite text that is no UTF-8 comes with its odd
    bytes escaped, and patterns of filters.py can be asked for."""
    connection.ensure_connection()
    raw: Any = connection.connection
    if connection.vendor != "sqlite":
        with connection.cursor() as cursor:
            yield cursor
        return
    if getattr(connection, "_ztaskd_matches", None) is not raw:
        raw.create_function("ztaskd_matches", 2, filters.matches, deterministic=True)
        connection._ztaskd_matches = raw  # type: ignore[attr-defined]
    factory = raw.text_factory
    raw.text_factory = lambda data: data.decode(errors="backslashreplace")
    try:
        with connection.cursor() as cursor:
            yield cursor
    finally:
        raw.text_factory = factory


@contextmanager
def walking(connection: Connection) -> Iterator[Any]:
    """The same, for the first rows of many, in the order of an index."""
    if connection.vendor != "postgresql":
        with reading(connection) as cursor:
            yield cursor
        return
    with transaction.atomic(using=connection.alias), reading(connection) as cursor:
        cursor.execute(texts.WALKING)
        yield cursor


def epoch(connection: Connection, text: str | None) -> float | None:
    """A time as `reading` has it. None for none, and for what is no time."""
    try:
        moment = datetime.datetime.fromisoformat(text or "")
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=connection.timezone)
        return moment.timestamp()
    except (ValueError, OverflowError, TypeError):
        return None


def newest(connection: Connection, wanted: Filter, status: str | None, limit: int) -> list[dict[str, Any]]:
    """Up to `limit` rows that match, the newest call first."""
    where, values = wanted.condition(connection)
    columns = texts.select(texts.LISTED)
    one_walk = {"FAILED": texts.NEWEST_FAILED, "RUNNING": texts.NEWEST_RUNNING}.get(status or "")
    if status and not one_walk:
        where, values = f"status = %s AND {where}", [status, *values]
    with walking(connection) as cursor:
        select = one_walk or texts.NEWEST
        cursor.execute(select.format(columns=columns, where=where), [*values, limit])
        found = _dicts(connection, cursor, texts.LISTED)
    if one_walk:
        return found
    with reading(connection) as cursor:
        if len(found) < limit:
            others = texts.NEWEST_OTHERS.format(columns=columns, where=where)
            cursor.execute(others, [*values, limit - len(found)])
            found += _dicts(connection, cursor, texts.LISTED)
    return sorted(found, key=lambda row: row["created"] or 0.0, reverse=True)


def begins(connection: Connection, prefix: str, limit: int = 6) -> list[str]:
    """Up to `limit` ids that begin with `prefix`; the whole id alone when it is one."""
    if not prefix or not filters.can_be_stored(prefix):
        return []
    with reading(connection) as cursor:
        cursor.execute("SELECT uuid FROM django_ztask_task WHERE uuid = %s", [prefix])
        if cursor.fetchone():
            return [prefix]
        begins = texts.BEGINS[connection.vendor]
        select = f"SELECT uuid FROM django_ztask_task WHERE {begins} ORDER BY uuid LIMIT %s"
        cursor.execute(select, [prefix, prefix + "\U0010ffff", limit])
        return [row[0] for row in cursor.fetchall()]


def read(connection: Connection, task_id: str) -> dict[str, Any] | None:
    """Everything of a row; `unsuccessful` are its attempts that were."""
    with reading(connection) as cursor:
        columns = texts.select(texts.ALL)
        cursor.execute(f"SELECT {columns} FROM django_ztask_task WHERE uuid = %s", [task_id])
        found = _dicts(connection, cursor, texts.ALL)
        if not found:
            return None
        columns = texts.select(texts.ATTEMPT)
        cursor.execute(
            f"SELECT {columns} FROM django_ztask_attempt WHERE task_id = %s ORDER BY attempt", [task_id]
        )
        return {**found[0], "unsuccessful": _dicts(connection, cursor, texts.ATTEMPT)}


def _dicts(connection: Connection, cursor: Any, columns: Sequence[str]) -> list[dict[str, Any]]:
    times = [n for n, name in enumerate(columns) if name in texts.TIMES]
    found = []
    for row in cursor.fetchall():
        values = list(row)
        for n in times:
            values[n] = epoch(connection, values[n])
        found.append(dict(zip(columns, values, strict=True)))
    return found


def nodes(connection: Connection) -> list[dict[str, Any]]:
    """The boots that are known: `left` is how many seconds their lease still runs (less than 0: it has ended)."""
    with reading(connection) as cursor:
        cursor.execute(texts.NODES.format(now=sql.of(connection).NOW))
        return _dicts(connection, cursor, texts.NODE)


def living_nodes(connection: Connection) -> list[dict[str, Any]]:
    """Those with a lease: a node that was killed counts until it ends."""
    return [node for node in nodes(connection) if node["left"] > 0]
