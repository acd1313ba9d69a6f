"""The statements of standing.py, for both databases: each is a walk along a part of an index, and has an end."""

from __future__ import annotations

from django_ztask.lifecycle import Status

# How many there are, but no more than a number of them.
COUNT = "SELECT count(*) FROM (SELECT 1 FROM django_ztask_task WHERE {where} LIMIT %s) AS found"
OF = {status.value: f"status = '{status.value}'" for status in Status}

# The kinds of queued rows, one after another: the next pool, and the next priority in a pool. A seek in the index each.
NEXT_POOL = "SELECT min(pool) FROM django_ztask_task WHERE status = 'QUEUED' AND pool > %s"
NEXT_PRIORITY = (
    "SELECT min(priority) FROM django_ztask_task WHERE status = 'QUEUED' AND pool = %s AND priority > %s"
)

# Of one kind, what is due: (pool, priority, now).
DUE = "status = 'QUEUED' AND pool = %s AND priority = %s AND next_attempt <= %s"
OLDEST = f"""SELECT uuid, function_name, pool, priority, attempts, next_attempt FROM django_ztask_task
    WHERE {DUE} ORDER BY next_attempt, created LIMIT 1"""
OLDEST_COLUMNS = ("id", "function", "pool", "priority", "attempts", "due")

CLAIMS = "SELECT node, count(*) FROM django_ztask_task WHERE status = 'RUNNING' GROUP BY node"
LAST_SUCCESS = "SELECT CAST(max(finished) AS TEXT) FROM django_ztask_task WHERE status = 'SUCCEEDED'"

# What one boot runs, or has claimed: (boot, number).
RUNS = """SELECT function_name, CAST(claimed AS TEXT) FROM django_ztask_task
    WHERE status = 'RUNNING' AND node = %s LIMIT %s"""
