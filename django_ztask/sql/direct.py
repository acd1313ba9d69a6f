"""A cursor for the journal's statements: SQLite's own, without Django's layers, which cost more than a claim or an
INSERT of one row. Errors are Django's all the same; and where somebody watches the connection, it is Django's cursor.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django_ztask import patience

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper as Connection


class DirectCursor:
    """What the statements' modules need of a cursor."""

    def __init__(self, connection: Any) -> None:
        self._errors = connection.wrap_database_errors
        self._cursor = connection.connection.cursor()

    def __enter__(self) -> DirectCursor:
        return self

    def __exit__(self, *error: object) -> None:
        self._cursor.close()

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> None:
        with self._errors:
            self._cursor.execute(with_question_marks(statement), parameters)

    def fetchone(self) -> Any:
        with self._errors:
            return self._cursor.fetchone()

    def fetchall(self) -> list[Any]:
        with self._errors:
            found: list[Any] = self._cursor.fetchall()
            return found

    @property
    def rowcount(self) -> int:
        return int(self._cursor.rowcount)


def cursor(connection: Connection) -> AbstractContextManager[Any]:
    """The shortest way to the database that `connection` allows."""
    if connection.vendor != "sqlite" or connection.connection is None or patience.is_watched(connection):
        return connection.cursor()
    connection.validate_no_broken_transaction()
    return DirectCursor(connection)


@lru_cache(maxsize=128)
def with_question_marks(statement: str) -> str:
    """A statement of ours as SQLite itself reads it."""
    return re.sub(r"(?<!%)%s", "?", statement).replace("%%", "%")
