"""The journal's statements, one module for each database. Only journal.py and upkeep.py execute them; those of
operations.py stand in a module of their own.

(`status || ''` is for PostgreSQL's planner: see there.)
"""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

from django_ztask.sql import operations as operations
from django_ztask.sql import postgresql, sqlite

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper as Connection

_NEXT_PRIORITY = """(SELECT max(priority) FROM django_ztask_task
    WHERE status = 'QUEUED' AND pool = %s AND priority < %s)"""

MARK = """UPDATE django_ztask_task SET started = %s
    WHERE uuid = %s AND node = %s AND attempts = %s AND status || '' = 'RUNNING'"""

REFUSE = """UPDATE django_ztask_task
    SET status = 'FAILED', failed = %s, finished = %s, last_exception = %s
    WHERE uuid = %s AND status || '' = 'QUEUED'"""

GIVE_UP = """UPDATE django_ztask_task
    SET status = %s, failed = %s, finished = %s, last_exception = %s
    WHERE uuid = %s AND node = %s AND attempts = %s AND status || '' = 'RUNNING'"""

FAIL_ODD = """UPDATE django_ztask_task SET status = 'FAILED', failed = %s, finished = %s, last_exception = %s
    WHERE status = 'QUEUED' AND {} RETURNING uuid, function_name"""

PRUNABLE = "SELECT count(*) FROM django_ztask_task WHERE status = 'SUCCEEDED' AND finished < %s"

# By Django's name of the vendor.
STATEMENTS: dict[str, ModuleType] = {"sqlite": sqlite, "postgresql": postgresql}


@cache
def next_priorities(pools: int) -> str:
    """For that many pools, the highest priority of a queued row below a given one: a seek in the index for each."""
    return "SELECT " + ", ".join([_NEXT_PRIORITY] * pools)


def of(connection: Connection) -> Any:
    """The module with `connection`'s statements. Raises ValueError for a database we cannot journal on."""
    if connection.vendor not in STATEMENTS:
        raise ValueError(f"ztaskd journals on SQLite and PostgreSQL, not on {connection.vendor}")
    return STATEMENTS[connection.vendor]
