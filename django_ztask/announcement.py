"""What a node is told of new rows: their names when they are due, else the earliest due time; and of those that are
cancelled while they run. One message of each kind for all the rows of a transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from django_ztask import crashpoints, transport
from django_ztask.rows import NewTask


class Announcement:
    """The names that one transaction makes known: one message, however many tasks."""

    __slots__ = ("cancelled", "ids", "later")

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.later: float | None = None
        self.cancelled: list[str] = []

    def add(self, rows: Sequence[NewTask], after: float) -> None:
        if after <= 0:
            self.ids.extend([row.id for row in rows])
        elif rows:
            self.postpone(min(row.due for row in rows))

    def postpone(self, due: float | None) -> None:
        """There are rows that are due later; the earliest of them then."""
        if due is not None:
            self.later = due if self.later is None else min(self.later, due)

    def join(self, other: Announcement) -> None:
        """Takes over what another one would say."""
        self.ids.extend(other.ids)
        self.cancelled.extend(other.cancelled)
        self.postpone(other.later)

    def __call__(self) -> None:
        """Says it. Never raises: the sweep finds what goes unsaid."""
        if self.ids or self.later is not None:
            crashpoints.reach("caller-before-message")
            transport.send(self.ids, self.later)
        if self.cancelled:
            transport.send_cancels(self.cancelled)


def pending(connection: Any) -> Announcement:
    """That of the open transaction: said when it commits. A new one when a savepoint's rollback has dropped it.

    Django keeps the hooks in `connection.run_on_commit` and removes those of a rolled back savepoint. The
    position is remembered, so that a thousand calls in one transaction need no search.
    """
    hooks = connection.run_on_commit
    known, position = getattr(connection, "_ztaskd_announcement", (None, 0))
    if known is not None and position < len(hooks) and hooks[position][1] is known:
        return cast(Announcement, known)
    announcement = Announcement()
    connection._ztaskd_announcement = announcement, len(hooks)
    connection.on_commit(announcement, robust=True)
    return announcement
