"""Between two tasks, in a slot and in a child: no transaction of one reaches the next. Knows no gevent."""

from __future__ import annotations

from typing import Any

from django.db import connections

from ztaskd import events


def clean_connections() -> None:
    """Leaves this greenlet's (or this thread's) connections as Django leaves them after a request: no transaction of
    one task reaches the next, and CONN_MAX_AGE is kept. Opens none, and a database that is away costs nothing."""
    for connection in connections.all(initialized_only=True):
        if connection.connection is None:
            continue
        try:
            if connection.in_atomic_block or not connection.autocommit or _is_busy(connection):
                _discard(connection)
            else:
                connection.close_if_unusable_or_obsolete()
        except Exception as error:
            events.emit("connection_discarded", alias=connection.alias, error=error)
            del connections[connection.alias]


def _is_busy(connection: Any) -> bool:
    """True when a task was cancelled, or ran into its limit, in the midst of a query (which PostgreSQL goes on with)."""
    return connection.vendor == "postgresql" and int(connection.connection.info.transaction_status) != 0


def _discard(connection: Any) -> None:
    """A task left a transaction, or a query, open: the connection goes, and with it what was not committed."""
    alias = connection.alias
    if connection.connection is not None:
        connection.connection.close()
    del connections[alias]
