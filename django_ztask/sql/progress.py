"""The statement that writes how far running tasks are: all of a node's at once, each under its fence. Only journal.py
executes it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

SQLITE = """UPDATE django_ztask_task AS task SET progress = new.progress
    FROM (SELECT json_extract(value, '$[0]') AS uuid, json_extract(value, '$[1]') AS boot,
                 json_extract(value, '$[2]') AS attempt, json_extract(value, '$[3]') AS progress
          FROM json_each(%s)) AS new
    WHERE task.uuid = new.uuid AND task.node = new.boot AND task.attempts = new.attempt
      AND +task.status = 'RUNNING'"""

# A row that somebody has locked is left out: the ends of other tasks would wait behind it.
POSTGRESQL = """WITH new (uuid, boot, attempt, progress) AS (
        SELECT * FROM unnest(%s::text[], %s::text[], %s::int[], %s::text[])),
    free AS MATERIALIZED (
        SELECT task.uuid, new.progress FROM new, django_ztask_task AS task
        WHERE task.uuid = new.uuid AND task.node = new.boot AND task.attempts = new.attempt
          AND task.status || '' = 'RUNNING'
        FOR UPDATE OF task SKIP LOCKED)
    UPDATE django_ztask_task AS task SET progress = free.progress FROM free WHERE task.uuid = free.uuid"""


def write(vendor: str, cursor: Any, values: Sequence[tuple[str, str, int, str]]) -> None:
    """Rows of (id, boot, attempt, text)."""
    if vendor == "sqlite":
        cursor.execute(SQLITE, [json.dumps(values)])
    else:
        cursor.execute(POSTGRESQL, [list(column) for column in zip(*values, strict=True)])
