"""The statements of operators' commands, for both databases: what is replayed, listed, deleted. Only operations.py and
replays.py execute them.

Times travel as texts: SQLite holds them as such, and what somebody has written there by hand is to be seen too.
"""

from __future__ import annotations

# What a pattern of filters.py is asked with. (On SQLite a function of ours: see operations.prepare.)
MATCHES = {
    "sqlite": "ztaskd_matches(CAST({} AS BLOB), %s)",
    "postgresql": '{} COLLATE "C" ~ %s',
}

AMONG = {
    "sqlite": "uuid IN (SELECT value FROM json_each(%s))",
    "postgresql": "uuid = ANY(%s::text[])",
}

# Ids that begin with a text, in two parameters: it, and what comes after all of them. (PostgreSQL's index of ids is in
# the order of a language, in which a hyphen may count nothing: so it walks over all rows.)
BEGINS = {
    "sqlite": "uuid >= %s AND uuid < %s",
    "postgresql": 'uuid COLLATE "C" >= %s AND uuid COLLATE "C" < %s',
}

# PostgreSQL's planner does not know how soon a walk along an index finds enough. For one transaction:
WALKING = "SET LOCAL enable_sort = off; SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off"

TIMES = ("created", "failed", "claimed", "started", "finished", "cancel_requested")

# What a person is shown of a task in a list; and of one task.
LISTED = (
    *("uuid", "status", "function_name", "queue", "pool", "priority", "next_attempt", "created", "failed"),
    "cancel_requested",
    *("started", "finished", "attempts", "failures", "crashes", "interruptions", "replays", "retry_count"),
    *("last_exception", "node"),
)
ALL = (*LISTED, "claimed", "args", "kwargs", "codec", "mac", "result", "traceback", "meta", "progress")
ATTEMPT = ("attempt", "kind", "node", "started", "finished", "exception", "traceback")


def select(columns: tuple[str, ...]) -> str:
    """(PostgreSQL gives a cast the name of its column: who orders by that names the table as well, for its index.)"""
    return ", ".join(f"CAST({name} AS TEXT)" if name in TIMES else name for name in columns)


# Ids of ztaskd's own order by time; those of django-ztask, and others, do not.
IN_TIME = "substr(uuid, 15, 1) = '7' AND uuid < '1'"

# The newest first. The first walks along the primary key, and ends when it has found enough; what it does not find are
# tasks of django-ztask: the second walks over all rows.
NEWEST = (
    f"SELECT {{columns}} FROM django_ztask_task WHERE {IN_TIME} AND {{where}} ORDER BY uuid DESC LIMIT %s"
)
NEWEST_OTHERS = f"""SELECT {{columns}} FROM django_ztask_task WHERE NOT ({IN_TIME}) AND {{where}}
    ORDER BY django_ztask_task.created DESC, uuid DESC LIMIT %s"""

# Of FAILED ones, and of RUNNING ones, there is an index.
NEWEST_FAILED = """SELECT {columns} FROM django_ztask_task WHERE status = 'FAILED' AND {where}
    ORDER BY django_ztask_task.created DESC, uuid DESC LIMIT %s"""
NEWEST_RUNNING = """SELECT {columns} FROM django_ztask_task WHERE status = 'RUNNING' AND {where}
    ORDER BY django_ztask_task.created DESC, uuid DESC LIMIT %s"""

# -- in the order of a replay -------------------------------------------------------------------------

# A position is (created, uuid) of the last row that was passed. Rows without `created` come first.
FIRST_WALK = "created IS NULL AND uuid > %s"
SECOND_WALK = {
    "sqlite": "(created, uuid) > (%s, %s)",
    "postgresql": "(created, uuid) > (%s::timestamptz, %s)",
}
WALK = """SELECT uuid, CAST(created AS TEXT) FROM django_ztask_task
    WHERE status = 'FAILED' AND {where} AND {position} ORDER BY django_ztask_task.created, uuid LIMIT %s"""

# What is deleted has no order: that of the primary key.
WALK_BY_ID = "SELECT uuid FROM django_ztask_task WHERE status || '' = '{status}' AND {where} AND uuid > %s ORDER BY uuid LIMIT %s"

# How many there are of what: the part of an exception's text before its message, or all of it.
HEAD = {
    "sqlite": """CASE instr(last_exception, ':') WHEN 0 THEN last_exception
        ELSE substr(last_exception, 1, instr(last_exception, ':') - 1) END""",
    "postgresql": "split_part(last_exception, ':', 1)",
}
GROUPS = """SELECT function_name, {head}, count(*), CAST(min({moment}) AS TEXT), CAST(max({moment}) AS TEXT)
    FROM (SELECT function_name, last_exception, {moment} FROM django_ztask_task
          WHERE status = '{status}' AND {where} {limited}) AS found
    GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2"""
OLDEST = "ORDER BY {order} LIMIT %s"

COUNT = "SELECT count(*) FROM django_ztask_task WHERE status = '{status}' AND {where}"
LATEST = "SELECT CAST(max(failed) AS TEXT) FROM django_ztask_task WHERE status = 'FAILED' AND {where}"

# What no replay touches: arguments that nobody can read, and at_most_once tasks that had started.
UNREADABLE = "codec = 'legacy'"
REPLAYABLE = "codec <> 'legacy' AND NOT ({started_once})"
STARTED_ONCE = "codec <> 'legacy' AND ({started_once})"

# (They were FAILED when somebody asked for it: what has failed again since waits for the next time.)
FAILED_UNTIL = {
    "sqlite": "(failed IS NULL OR failed <= %s)",
    "postgresql": "(failed IS NULL OR failed <= %s::timestamptz)",
}

# (PostgreSQL only.)
LOCK = "SELECT uuid FROM django_ztask_task WHERE uuid = ANY(%s::text[]) ORDER BY uuid FOR UPDATE"

# Guarded: of two who come at once, one changes it.
REPLAY = "{replay} AND status || '' = 'FAILED' AND {among} RETURNING uuid"
DELETE = "DELETE FROM django_ztask_task WHERE {among} AND status || '' = '{status}' RETURNING uuid"

STATUS = "SELECT status, attempts, next_attempt FROM django_ztask_task WHERE uuid = %s"

# -- the record of replays ----------------------------------------------------------------------------

BEGIN = """INSERT INTO django_ztask_replay
    (started, finished, by, pid, filter, matched, queued, position, horizon, due, seen)
    VALUES (%s, %s, %s, %s, {json}, %s, %s, %s, %s, %s, {now}) RETURNING id"""

# (A process that was suspended for a while may find that another one goes on with its replay.)
_OWN = "WHERE id = %s AND by = %s AND pid = %s AND finished IS NULL"
ADVANCE = f"UPDATE django_ztask_replay SET queued = queued + %s, position = %s, seen = {{now}} {_OWN}"
SET_DUE = "UPDATE django_ztask_replay SET due = %s WHERE id = %s"
SEEN = f"UPDATE django_ztask_replay SET seen = {{now}} {_OWN}"
TAKE_OVER = """UPDATE django_ztask_replay SET by = %s, pid = %s, seen = {now}
    WHERE id = %s AND finished IS NULL AND pid = %s AND seen = %s"""
FINISH = f"UPDATE django_ztask_replay SET finished = %s, seen = {{now}} {_OWN}"
UNFINISHED = """SELECT id, CAST(started AS TEXT), by, pid, CAST(filter AS TEXT), matched, queued, position,
    CAST(horizon AS TEXT), due, seen, {now} - seen FROM django_ztask_replay WHERE finished IS NULL ORDER BY id"""

NODE = ("boot", "name", "host", "pid", "url", "version", "started", "left")
NODES = """SELECT boot, name, host, pid, url, version, CAST(started AS TEXT), lease - {now}
    FROM django_ztask_node ORDER BY started"""

# Due tasks of some pools that start before one, up to some number of them: (pools, now, priority, priority, due, due, id,
# number). And how many of these pools run.
AHEAD = """SELECT count(*) FROM (SELECT 1 FROM django_ztask_task
    WHERE status = 'QUEUED' AND pool IN ({}) AND next_attempt <= %s AND (priority > %s OR (priority = %s AND (next_attempt < %s OR
        (next_attempt = %s AND created < (SELECT created FROM django_ztask_task WHERE uuid = %s)))))
    LIMIT %s) AS ahead"""
RUNNING = "SELECT count(*) FROM django_ztask_task WHERE status = 'RUNNING' AND pool IN ({})"
