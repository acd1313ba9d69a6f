"""What is wrong with a row, and what is wrong with the database."""

from __future__ import annotations

import pytest
from django.db import (
    DataError,
    IntegrityError,
    InterfaceError,
    InternalError,
    OperationalError,
    ProgrammingError,
)
from django.db.backends.base.base import BaseDatabaseWrapper

from ztaskd.storage import PostgreSQLStorage, is_locked, is_refusal


@pytest.mark.parametrize(
    ("error", "refusal"),
    [
        (DataError("invalid byte sequence for encoding"), True),
        (IntegrityError("violates a constraint"), True),
        (OperationalError("Could not decode to UTF-8 column 'args' with text 'x'"), True),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"), True),
        (TypeError("a column that somebody has edited"), True),
        (OperationalError("database is locked"), False),
        (OperationalError("disk I/O error"), False),
        (OperationalError("server closed the connection unexpectedly"), False),
        (InterfaceError("connection already closed"), False),
        (OSError(24, "Too many open files"), False),
        (MemoryError(), False),
        (InternalError("current transaction is aborted"), False),
        (ProgrammingError('column "mac" does not exist'), False),
    ],
    ids=lambda value: type(value).__name__ + str(value)[:20] if isinstance(value, Exception) else str(value),
)
def test_only_what_is_wrong_with_a_row_is_pinned_to_it(error: Exception, refusal: bool) -> None:
    assert is_refusal(error) is refusal


def test_a_lock_is_told_from_other_trouble() -> None:
    assert is_locked(OperationalError("database is locked"))
    assert not is_locked(OperationalError("disk I/O error"))


def test_a_connection_that_lacks_a_file_descriptor_is_trouble_of_the_database(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(connection: BaseDatabaseWrapper) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(BaseDatabaseWrapper, "ensure_connection", refuse)
    with pytest.raises(OperationalError, match="Too many open files"):
        PostgreSQLStorage("default").connection()
