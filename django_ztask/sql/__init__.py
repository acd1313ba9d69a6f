"""The journal's statements, one module for each database. Only journal.py, upkeep.py and cancelling.py execute them;
those of operations.py stand in a module of their own.

(`status || ''` is for PostgreSQL's planner: see there.)
"""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

from django_ztask import lifecycle
from django_ztask.sql import operations as operations
from django_ztask.sql import postgresql, sqlite
from django_ztask.sql import progress as progress

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper as Connection

_NEXT_PRIORITY = """(SELECT max(priority) FROM django_ztask_task
    WHERE status = 'QUEUED' AND pool = %s AND priority < %s)"""

MARK = """UPDATE django_ztask_task SET started = %s
    WHERE uuid = %s AND node = %s AND attempts = %s AND status || '' = 'RUNNING' AND cancel_requested IS NULL"""

# One statement for both states: whoever claims or ends the row meanwhile comes before it, or after it. (Who wants one of
# them alone names it: what was queued when he looked may run by now.)
CANCEL = """UPDATE django_ztask_task
    SET status = CASE status WHEN 'QUEUED' THEN 'CANCELLED' ELSE status END,
        finished = CASE status WHEN 'QUEUED' THEN %s ELSE finished END,
        cancel_requested = coalesce(cancel_requested, %s)
    WHERE uuid = %s AND status || '' IN ({})
    RETURNING status"""

# The first finds what was named, the second whatever runs on the node.
CANCELS_NAMED = """SELECT uuid FROM django_ztask_task
    WHERE uuid IN ({}) AND node || '' = %s AND status || '' = 'RUNNING' AND cancel_requested IS NOT NULL"""
CANCELS = """SELECT uuid FROM django_ztask_task
    WHERE status = 'RUNNING' AND node = %s AND cancel_requested IS NOT NULL"""

# What somebody has cancelled, and nobody runs any more.
SETTLE = """UPDATE django_ztask_task SET status = 'CANCELLED', finished = %s
    WHERE status = 'RUNNING' AND node = %s AND cancel_requested IS NOT NULL AND {}
    RETURNING uuid, function_name, attempts, started"""

REFUSE = """UPDATE django_ztask_task
    SET status = 'FAILED', failed = %s, finished = %s, last_exception = %s
    WHERE uuid = %s AND status || '' = 'QUEUED'"""

GIVE_UP = """UPDATE django_ztask_task
    SET status = %s, failed = %s, finished = %s, last_exception = %s
    WHERE uuid = %s AND node = %s AND attempts = %s AND status || '' = 'RUNNING' AND {}"""

FAIL_ODD = """UPDATE django_ztask_task SET status = 'FAILED', failed = %s, finished = %s, last_exception = %s
    WHERE status = 'QUEUED' AND {} RETURNING uuid, function_name"""

# By state: each has its index.
PRUNABLE = "SELECT count(*) FROM django_ztask_task WHERE status = '{}' AND finished < %s"

# A row's pool when the node that held it is gone: the RECOVER of each database takes it, or just `pool`.
SUSPECT = " ".join(f"WHEN '{pool}' THEN '{suspect}'" for pool, suspect in lifecycle.SUSPECT.items())
SUSPECT = f"CASE pool {SUSPECT} ELSE pool END"

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
