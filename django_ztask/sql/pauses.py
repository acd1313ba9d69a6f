"""The statements about paused queues, for both databases. Only pauses.py executes them.

Where a statement changes rows that others may want as well, PostgreSQL skips what they have locked.
"""

from __future__ import annotations

from django_ztask.aside import ENDINGS, PREFIX

# The queue of a pause of everything. (No task's queue is empty.)
EVERYTHING = ""

COLUMNS = "id, queue, CAST(since AS TEXT), by, reason"
CURRENT = f"SELECT {COLUMNS} FROM django_ztask_pause ORDER BY id"
PAUSE = """INSERT INTO django_ztask_pause (queue, since, by, reason) VALUES (%s, %s, %s, %s)
    ON CONFLICT (queue) DO NOTHING"""
RESUME = "DELETE FROM django_ztask_pause WHERE id = %s"

# What somebody was told is on disk, whatever the settings of the connection say.
SYNCED = {"sqlite": "PRAGMA synchronous = FULL", "postgresql": "SET LOCAL synchronous_commit = on"}

COUNT = "SELECT count(*) FROM django_ztask_task WHERE status = '{}' AND {}"
KNOWN = "SELECT EXISTS (SELECT 1 FROM django_ztask_task WHERE queue = %s)"

# What a node has claimed, of these queues.
CLAIMED = "SELECT uuid FROM django_ztask_task WHERE status = 'RUNNING' AND node = %s AND queue IN ({})"

_PAUSED = "queue IN (SELECT queue FROM django_ztask_pause)"
_POOLS = ", ".join(f"'{pool}'" for pool in ENDINGS)
_ENDING = " ".join(f"WHEN '{pool}' THEN '{ending}'" for pool, ending in ENDINGS.items())
_ASIDE = f"""'{PREFIX}' || (SELECT id FROM django_ztask_pause AS pause WHERE pause.queue = task.queue)
    || CASE task.pool {_ENDING} END"""

# Those of some ids that are of a paused queue. (As one value: see sqlite.py.)
AMONG = {
    "sqlite": f"""SELECT json_group_array(uuid) FROM django_ztask_task
        WHERE uuid IN (SELECT value FROM json_each(%s)) AND {_PAUSED} AND typeof(uuid) = 'text'""",
    "postgresql": f"""SELECT coalesce(json_agg(uuid), '[]')::text FROM django_ztask_task
        WHERE uuid = ANY(%s::text[]) AND {_PAUSED}""",
}

# The pauses are read anew: whatever the node believes, the row goes by what is committed.
PUT_ASIDE = {
    "sqlite": f"""UPDATE django_ztask_task AS task SET pool = {_ASIDE}
        WHERE uuid IN (SELECT value FROM json_each(%s)) AND +status = 'QUEUED' AND {_PAUSED} AND +pool IN ({_POOLS})""",
    "postgresql": f"""WITH picked AS MATERIALIZED (
            SELECT uuid FROM django_ztask_task
            WHERE uuid = ANY(%s::text[]) AND status || '' = 'QUEUED' AND {_PAUSED} AND pool || '' IN ({_POOLS})
            FOR UPDATE SKIP LOCKED)
        UPDATE django_ztask_task AS task SET pool = {_ASIDE} FROM picked WHERE task.uuid = picked.uuid""",
}

# The pools that put aside rows have, in the database's own order: one seek in the index for each pool there is.
POOLS_ASIDE = f"""WITH RECURSIVE found (pool) AS (
        SELECT min(pool) FROM django_ztask_task WHERE status = 'QUEUED' AND pool > ''
        UNION ALL
        SELECT (SELECT min(task.pool) FROM django_ztask_task AS task WHERE task.status = 'QUEUED' AND task.pool > found.pool)
        FROM found WHERE found.pool IS NOT NULL)
    SELECT pool FROM found WHERE substr(pool, 1, {len(PREFIX)}) = '{PREFIX}'"""

# Of rows that are no pool's: on PostgreSQL, another node may have put some aside since POOLS_ASIDE. (On SQLite, who
# has read that has the lock.)
NOT_ASIDE = {"sqlite": "", "postgresql": f" AND NOT starts_with(pool, '{PREFIX}')"}

# The first rows of a pool come back first: (to, pool, priority, number).
FIRST_PRIORITY = "SELECT max(priority) FROM django_ztask_task WHERE status = 'QUEUED' AND pool = %s"
_FIRST = """SELECT uuid FROM django_ztask_task WHERE status = 'QUEUED' AND pool = %s AND priority = %s
    ORDER BY next_attempt, created LIMIT %s"""
BRING_BACK = {
    "sqlite": f"UPDATE django_ztask_task SET pool = %s WHERE uuid IN ({_FIRST})",
    "postgresql": f"""WITH given (home) AS (VALUES (%s::text)), picked AS MATERIALIZED ({_FIRST} FOR UPDATE SKIP LOCKED)
        UPDATE django_ztask_task AS task SET pool = given.home FROM given, picked WHERE task.uuid = picked.uuid""",
}
