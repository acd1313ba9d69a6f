"""Which rows an operator means: a Filter, pure, and its SQL condition with parameters. Nothing a person has typed
becomes a part of a statement.

Patterns are those of a shell: `*`, `?`, `[a-z]`, `[!a-z]`; everything else is literal, in either case of letters.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from django_ztask import rows, sql

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper as Connection

# The column that `since` and `until` mean, for rows of a status; for rows of any status it is `created`.
MOMENTS = {
    "FAILED": "failed",
    "SUCCEEDED": "finished",
    "CANCELLED": "finished",
    "QUEUED": "created",
    "RUNNING": "created",
}

Condition = tuple[str, list[Any]]

NOTHING: Condition = ("1 = 0", [])


class Filter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is None does not count. `since` (included) and `until` (not included) are epoch seconds; `exception` is the
    name of a type, with or without its module."""

    function: str | None = None
    exception: str | None = None
    since: float | None = None
    until: float | None = None
    ids: tuple[str, ...] | None = None
    queue: str | None = None

    @property
    def is_empty(self) -> bool:
        return self == Filter()

    def condition(self, connection: Connection, moment: str = "created") -> Condition:
        """`since` and `until` are those of the column `moment`. Raises ValueError for a pattern that is none."""
        if moment not in MOMENTS.values():
            raise ValueError(f"{moment!r} is no time of a task")
        texts = (self.function, self.exception, self.queue, *(self.ids or ()))
        if not all(can_be_stored(text) for text in texts if text is not None):
            return NOTHING
        found = list(self._parts(connection, moment))
        return " AND ".join(["1 = 1", *(text for text, _ in found)]), [
            v for _, values in found for v in values
        ]

    def _parts(self, connection: Connection, moment: str) -> Any:
        matches = sql.operations.MATCHES[connection.vendor]
        if self.ids is not None:
            yield sql.operations.AMONG[connection.vendor], [sql.of(connection).texts(self.ids)]
        if self.function is not None:
            yield matches.format("function_name"), [glob(self.function)]
        if self.exception is not None:
            yield matches.format("last_exception"), [exception(self.exception)]
        if self.queue is not None:
            yield "queue = %s", [self.queue]
        if self.since is not None:
            yield f"{moment} >= %s", [rows.stamp(connection, self.since)]
        if self.until is not None:
            yield f"{moment} < %s", [rows.stamp(connection, self.until)]


def can_be_stored(text: str) -> bool:
    """False for what no row can hold: lone surrogates (an argument that is no UTF-8), and NULs on PostgreSQL; there
    are none on a command line."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


@lru_cache
def glob(pattern: str) -> str:
    """The regular expression, for Python and for PostgreSQL, of a whole text that `pattern` matches."""
    return rf"(?s)\A{_expression(pattern, '.')}\Z"


@lru_cache
def exception(name: str) -> str:
    """The same, of a text that begins with the name of an exception's type: `module.Type: message`."""
    return rf"(?s)\A([^:\s]*\.)?{_expression(name, '[^:]')}(:.*)?\Z"


def _expression(pattern: str, any_character: str) -> str:
    parts: list[str] = []
    n = 0
    while n < len(pattern):
        character = pattern[n]
        n += 1
        if character == "*":
            if parts[-1:] != [any_character + "*"]:
                parts.append(any_character + "*")
        elif character == "?":
            parts.append(any_character)
        elif character == "[" and (end := _end_of_set(pattern, n)):
            parts.append(_set(pattern[n:end]))
            n = end + 1
        else:
            parts.append(_literal(character))
    return "".join(parts)


def _end_of_set(pattern: str, start: int) -> int:
    """Where its `]` is; 0 when there is none. (One that comes first is a member.)"""
    first = start + 1 if pattern[start : start + 1] == "!" else start
    return max(pattern.find("]", first + 1), 0)


def _set(members: str) -> str:
    negated, members = members.startswith("!"), members.removeprefix("!")
    parts, n = [], 0
    while n < len(members):
        first = last = members[n]
        if members[n + 1 : n + 2] == "-" and n + 2 < len(members):
            last = members[n + 2]
            n += 2
        n += 1
        if last < first:
            raise ValueError(f"the range {first}-{last} is empty")
        parts.append(_literal(first) if first == last else f"{_literal(first)}-{_literal(last)}")
    return f"[{'^' if negated else ''}{''.join(parts)}]"


def _literal(character: str) -> str:
    """(A backslash before a letter would mean something.)"""
    return (
        f"\\{character}"
        if character.isascii() and not character.isalnum() and character != "_"
        else character
    )


def matches(text: bytes | str | None, expression: str) -> bool | None:
    """What SQLite calls for each row: bytes, so that no text is too odd to be compared."""
    if text is None:
        return None
    if isinstance(text, bytes):
        text = text.decode(errors="backslashreplace")
    return re.match(expression, str(text)) is not None
