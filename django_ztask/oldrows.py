"""Brings the rows of django-ztask 0.1 up to date, in place and in batches: for the migrations alone.

Nothing that stands in a row stops it, and no row goes. How texts are read is in legacy.py; columns are
adopt.py's business. Plain SQL, since the models of today know columns that a migration has not made yet.
"""

from __future__ import annotations

import contextlib
import datetime
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from django.utils import timezone

from django_ztask import legacy, rows, serialize
from django_ztask.conf import conf, keys
from django_ztask.errors import ArgumentError
from django_ztask.lifecycle import Status
from django_ztask.serialize import Payload

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper as Connection

logger = logging.getLogger("ztaskd")

BATCH = 500

_SELECT = "SELECT {columns} FROM django_ztask_task WHERE {where} AND uuid {after} %s ORDER BY uuid LIMIT %s"

_UPDATE = """UPDATE django_ztask_task
    SET status = %s, codec = %s, mac = %s, args = %s, kwargs = %s, last_exception = %s,
        next_attempt = coalesce(next_attempt, %s), created = coalesce(created, %s), failed = %s, finished = %s
    WHERE uuid = %s"""


class Old(NamedTuple):
    """A row as django-ztask left it. Times are text, whatever type their column has."""

    uuid: str
    function_name: str
    args: str
    kwargs: str
    last_exception: str | None
    failed: str | None


def upgrade(connection: Connection) -> None:
    """Gives every old row its status, times, and arguments that are readable and signed.

    Rows that have a codec are done: so it may be run again, and rows of ztaskd itself are left alone.
    """
    zone, now = _zone(connection), time.time_ns() // 1000
    failed_text = f"CAST(failed AS {'CHAR' if connection.vendor == 'mysql' else 'TEXT'})"
    columns = f"uuid, function_name, args, kwargs, last_exception, {failed_text}"
    unread = 0
    with tolerant(connection), connection.cursor() as cursor:
        unknown = batches(cursor, f"uuid, {failed_text}", "codec = '' AND created IS NULL")
        created = fill_created(
            ((uuid, legacy.micros(failed, zone)) for batch in unknown for uuid, failed in batch), now
        )
        for batch in batches(cursor, columns, "codec = ''"):
            values = [renewed(connection, Old(*map(_text, found)), created, zone, now) for found in batch]
            unread += sum(row[1] == serialize.LEGACY for row in values)
            cursor.executemany(_UPDATE, values)
    if unread:
        logger.warning(
            "The arguments of %d old tasks could not be read: they are FAILED, and kept as they were, with the "
            "reason in last_exception.",
            unread,
        )


def renewed(
    connection: Connection, row: Old, created: dict[str, int], zone: datetime.tzinfo, now: int
) -> tuple[Any, ...]:
    """The values of _UPDATE for one row."""
    status, payload, exception = reread(row)
    failed = None
    if status is Status.FAILED:
        failed = rows.stamp(connection, (legacy.micros(row.failed, zone) or now) / 1e6)
    begun = rows.stamp(connection, created.get(row.uuid, now) / 1e6)
    mac = serialize.mac(row.uuid, row.function_name, payload, keys("row")[0])
    texts = (status.value, payload.codec, mac, payload.args, payload.kwargs, exception)
    return (*texts, now / 1e6, begun, failed, failed, row.uuid)


def reread(row: Old) -> tuple[Status, Payload, str | None]:
    """The status, arguments and exception that an old row has from now on."""
    status = Status.QUEUED if row.failed is None else Status.FAILED
    exception = None if row.last_exception is None else serialize.clean(row.last_exception)
    try:
        args, kwargs = legacy.read(row.args, row.kwargs)
        return status, serialize.dump_call(args, kwargs, allow_pickle=conf.pickle), exception
    except (legacy.LegacyError, ArgumentError) as error:
        reason = serialize.clean(f"Its arguments, from django-ztask, cannot be read: {error}")
        if exception:
            reason += f"\nBefore that: {exception}"
        return Status.FAILED, Payload(serialize.LEGACY, row.args, row.kwargs), reason


def fill_created(unknown: Iterable[tuple[str, int | None]], now: int) -> dict[str, int]:
    """`created` for rows that have none, from their (uuid, failed), in microseconds.

    A replay starts tasks in the order of `created`, and these are to come in the order of `failed`, then
    uuid. Databases differ in where NULL sorts, and in how they sort text; so each row gets a time of its
    own here, once: that of its failure, moved on by a microsecond where that one is taken.
    """
    found: dict[str, int] = {}
    last = None
    for failed, uuid in sorted((now if failed is None else failed, uuid) for uuid, failed in unknown):
        last = failed if last is None else max(failed, last + 1)
        found[uuid] = last
    return found


def mend_created(connection: Connection, write: Callable[[int], str]) -> None:
    """Writes every `created` that is not yet as `write` has it from microseconds. What is no time at all
    becomes NULL, and is told."""
    zone, lost = _zone(connection), []
    with tolerant(connection), connection.cursor() as cursor:
        for batch in batches(cursor, "uuid, CAST(created AS TEXT)", "created IS NOT NULL"):
            values = []
            for uuid, text in batch:
                moment = legacy.micros(text, zone)
                mended = None if moment is None else write(moment)
                if mended is None and text:
                    lost.append(f"{text!r:.100} ({uuid})")
                if mended != text:
                    values.append((mended, uuid))
            cursor.executemany("UPDATE django_ztask_task SET created = %s WHERE uuid = %s", values)
    if lost:
        logger.warning(
            "%d old tasks have a `created` that is no time; it is NULL from now on. The first: %s",
            len(lost),
            ", ".join(lost[:10]),
        )


def batches(cursor: Any, columns: str, where: str) -> Iterator[list[tuple[Any, ...]]]:
    """All rows in the order of uuid, which comes first in `columns`; rows may be changed meanwhile."""
    after, last = ">=", ""
    while True:
        statement = _SELECT.format(columns=columns, where=where, after=after)
        cursor.execute(statement, [last, BATCH])
        found = cursor.fetchall()
        if not found:
            return
        yield found
        after, last = ">", found[-1][0]


@contextlib.contextmanager
def tolerant(connection: Connection) -> Iterator[None]:
    """Reads text that is no UTF-8, which SQLite does not refuse, as Latin-1 instead of raising."""
    if connection.vendor != "sqlite":
        yield
        return
    connection.ensure_connection()
    before, connection.connection.text_factory = connection.connection.text_factory, legacy.decode
    try:
        yield
    finally:
        connection.connection.text_factory = before


def _zone(connection: Connection) -> datetime.tzinfo:
    """What a time without a zone means in this database."""
    return connection.timezone or timezone.get_default_timezone()


def _text(value: Any) -> Any:
    """SQLite has no fixed types: a text column may hold bytes or a number."""
    if value is None or isinstance(value, str):
        return value
    return legacy.decode(value) if isinstance(value, bytes) else str(value)
