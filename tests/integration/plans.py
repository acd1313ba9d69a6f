"""What a database says of how it would find the rows of a statement, in the same words for both databases."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from django.db import connection

UUID = "uuid"  # the primary key's index, whatever a database calls it

COLUMNS = ("uuid", "pool", "priority", "next_attempt", "finished", "node", "created", "task_id", "boot")


@dataclass(frozen=True)
class Step:
    """One access to a table of ours. `index` is None for a walk over all of it; `by` are the columns that
    are sought in the index (none: it is walked from one end)."""

    table: str
    index: str | None
    by: tuple[str, ...] = ()


SORT = Step("", "sorted")


def steps(verb: Callable[[], Any]) -> list[Step]:
    """Those of every statement that `verb` executes, each as planned just before it is executed."""
    found: list[Step] = []
    explain = _postgresql if connection.vendor == "postgresql" else _sqlite

    def watch(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "django_ztask_" in sql and not sql.startswith("EXPLAIN"):
            found.extend(explain(sql, params[0] if many else params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(watch):
        verb()
    assert found, "no statement was seen"
    return found


def tasks(verb: Callable[[], Any]) -> set[tuple[str | None, str]]:
    """The indexes of the task table that `verb` uses, each with the columns sought in it. Fails on a walk
    over the table, and where rows are sorted that an index has in order."""
    found = steps(verb)
    assert SORT not in found, found
    touching = {(step.index, " ".join(step.by)) for step in found if step.table == "django_ztask_task"}
    assert touching, found
    assert not [step for step in touching if step[0] is None], found
    return touching


def _sqlite(sql: str, params: Any) -> Iterator[Step]:
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN QUERY PLAN " + sql, params)
        lines = [str(row[3]) for row in cursor.fetchall()]
    for line in lines:
        if "TEMP B-TREE FOR ORDER BY" in line:
            yield SORT
        access = re.match(
            r"(?:SEARCH|SCAN) (django_ztask_\w+|task)(?: USING (?:COVERING )?INDEX (\w+)(?: \((.*)\))?)?",
            line,
        )
        if access:
            table, index, sought = access.groups()
            yield _step("django_ztask_task" if table == "task" else table, index, sought or "")


def _postgresql(sql: str, params: Any) -> Iterator[Step]:
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN (FORMAT JSON) " + sql, params)
        [[plans]] = cursor.fetchall()
    plans = json.loads(plans) if isinstance(plans, str) else plans
    for plan in plans:
        yield from _node(plan["Plan"], "")


def _node(node: dict[str, Any], table: str) -> Iterator[Step]:
    kind = node["Node Type"]
    table = node.get("Relation Name", table)
    if kind == "Sort":
        yield SORT
    elif kind == "Seq Scan":
        yield _step(table, None, "")
    elif kind in ("Index Scan", "Index Only Scan", "Bitmap Index Scan"):
        yield _step(table, node["Index Name"], node.get("Index Cond", ""))
    for below in node.get("Plans", []):
        yield from _node(below, table)


def _step(table: str, index: str | None, condition: str) -> Step:
    """(Django makes two indexes for a key of text on PostgreSQL: they find the same rows.)"""
    condition = re.sub(r"'[^']*'", "", condition)  # values
    if index and re.search(r"^sqlite_autoindex_\w+_task_1$|_task_pkey$|_task_uuid_\w+_like$", index):
        index = UUID
    return Step(table, index, tuple(name for name in COLUMNS if re.search(rf"\b{name}\b", condition)))
