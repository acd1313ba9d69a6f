"""The journal as an enemy: rows that were forged or edited. None runs anything foreign, stops the node, or
keeps others waiting.
"""

import pytest

from tests.acceptance.daemon import wait_for

pytestmark = [pytest.mark.acceptance, pytest.mark.faults, pytest.mark.both_databases]

TABLE = "django_ztask_task"

# Rows that nobody may run, and the reason that stands on them. {marker}: a file that must never appear.
FORGE = """
from tests.project.shop.forge import *
OLD, MAC = 4000, "does not verify"
TASKS = "tests.project.shop.tasks"
show({
    forge(mac="0" * 64): MAC,
    forge(mac=""): MAC,
    forge(mac="\\u00e9" * 32): MAC,
    forge(function="os.system", args='["touch {marker}"]', mac="f" * 64): MAC,
    forge(codec="pickle", args=hostile("{marker}"), kwargs=hostile("{marker}"), mac="f" * 64): MAC,
    forge(codec="pickle", args=hostile("{marker}"), kwargs=hostile("{marker}")): "ZTASKD_PICKLE is False",
    forge(codec="legacy"): "could not be read when it was upgraded",
    forge(codec="yaml"): "unknown codec 'yaml'",
    forge(codec=""): "unknown codec ''",
    forge(args="[1"): "JSONDecodeError",
    forge(args=""): "JSONDecodeError",
    forge(args="["  * 100_000): "RecursionError",
    forge(args="7"): "TypeError",
    forge(kwargs="[7]"): "TypeError",
    forge(kwargs='{"nobody": 1}'): "unexpected keyword argument",
    forge(function="os.system", args='["touch {marker}"]', late=OLD): "os has no @task() of that name",
    forge(function="shutil.rmtree", args='["{marker}"]', late=OLD): "shutil has no @task() of that name",
    forge(function="builtins.exec", args='["open(1, 2)"]', late=OLD): "builtins has no @task() of that name",
    forge(function=TASKS + ".note", args='["foreign"]', late=OLD): "has no @task() of that name",
    forge(function=TASKS + ".Loaded", args="[]", late=OLD): "has no @task() of that name",
    forge(function=TASKS + ".add.function", late=OLD): "has no @task() of that name",
    forge(function=TASKS, late=OLD): "has no @task() of that name",
    forge(function="", late=OLD): "there is no such module",
    forge(function="..", late=OLD): "UnknownTask",
})
"""


def reasons(site):
    found = site.sql(f"SELECT uuid, last_exception FROM {TABLE} WHERE status = 'FAILED'")
    return dict(found)


def test_nothing_foreign_is_executed_and_each_row_says_why_it_was_refused(new_site):
    site = new_site(ZTASKD_PICKLE=False)
    marker = site.folder / "marker"
    forged = site.call(FORGE.replace("{marker}", str(marker)))
    swapped = site.call("show([mark.async_(word).id for word in 'abc'])")
    site.sql(f"UPDATE {TABLE} SET args = ? WHERE uuid = ?", '["b"]', swapped[0])
    macs = [site.task(task_id)["mac"] for task_id in swapped[1:]]
    for task_id, word, mac in zip(swapped[1:], "cb", reversed(macs), strict=True):
        site.sql(f"UPDATE {TABLE} SET args = ?, mac = ? WHERE uuid = ?", f'["{word}"]', mac, task_id)
    renamed = site.call("show([add.async_('c').id, add.async_('d').id])")
    site.sql(f"UPDATE {TABLE} SET function_name = 'tests.project.shop.tasks.mark' WHERE uuid = ?", renamed[0])
    site.sql(f"UPDATE {TABLE} SET function_name = 'os.system' WHERE uuid = ?", renamed[1])
    good = site.call("show(mark.async_('good').id)")
    daemon = site.start()
    site.wait_status(good, "SUCCEEDED")
    expected = {**forged, **dict.fromkeys(swapped + renamed, "does not verify")}
    site.wait_count(len(expected), status="FAILED")
    found = reasons(site)
    assert {task_id: why for task_id, why in expected.items() if why not in found[task_id]} == {}
    assert site.call("show(add.async_(3, 4).result(20))") == 7
    assert [line[:2] for line in site.ledger] == [["mark", "good"]]
    assert not marker.exists()
    assert daemon.stop() == 0
    assert "degraded" not in daemon.log


def test_a_hundred_forged_rows_are_one_line_a_second_and_keep_nobody_waiting(site):
    site.call("""
        from tests.project.shop.forge import *
        from django.db import transaction
        with transaction.atomic():
            for n in range(100):
                forge(mac="0" * 64)
    """)
    daemon = site.start("-c", "2")
    waited = site.call("began = time.time(); add.async_(1).result(20); show(time.time() - began)")
    assert waited < 5
    site.wait_count(100, status="FAILED")
    lines = [line for line in daemon.log.splitlines() if "does not verify" in line]
    assert len(lines) <= 5  # one a second
    assert daemon.stop() == 0


def test_a_row_that_is_edited_while_it_runs_keeps_what_was_written_into_it(site):
    until = site.folder / "until"
    daemon = site.start()
    ids = site.call(f"""
        from tests.project.shop.litter import wait_for_file
        show([wait_for_file.async_({str(until)!r}).id for _ in range(4)])
    """)
    wait_for(lambda: site.count(status="RUNNING") == 4, "the four")
    edits = ("attempts = attempts + 1", "node = 'another'", "status = 'CANCELLED'")
    for task_id, edit in zip(ids, edits, strict=False):
        site.sql(f"UPDATE {TABLE} SET {edit} WHERE uuid = ?", task_id)
    site.sql(f"DELETE FROM {TABLE} WHERE uuid = ?", ids[3])
    until.touch()
    wait_for(lambda: daemon.log.count("its outcome is dropped") == 4, "four dropped outcomes")
    assert site.task(ids[2])["status"] == "CANCELLED"
    assert site.count(status="SUCCEEDED") == 0
    assert site.call("show(add.async_(3, 4).result(20))") == 7
    assert daemon.stop() == 0


# What somebody wrote into a column of a row whose task fails, and what is then said on the row ("odd" is what
# the task says when it is run). None: the row is never due, or in no state that anybody knows.
EDITS = [
    ("attempts", "-5", "odd"),
    ("retry_count", "-3", "odd"),
    ("next_attempt", "0", "odd"),
    ("created", "NULL", "odd"),
    ("queue", "''", "odd"),
    ("replays", "-1", "odd"),
    ("meta", "'[1, 2]'", "odd"),
    ("meta", "'7'", "odd"),
    (
        "meta",
        """'{"retry_count": 1e999, "retry_after": 1e999, "timeout": 1e999, "backoff": -1e308}'""",
        "odd",
    ),
    ("mac", "upper(mac)", "does not verify"),
    ("uuid", "upper(uuid)", "does not verify"),
    ("uuid", "''", "does not verify"),
    ("uuid", "'                                    '", "does not verify"),
    ("uuid", "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'", "does not verify"),
    ("next_attempt", "NULL", "its due time is none"),
    ("pool", "'greenlet'", "odd"),
    ("pool", "'nonsense'", "its pool is none"),
    ("pool", "' '", "its pool is none"),
]
OWN_EDITS = {
    "sqlite": [
        ("attempts", "'many'", "odd"),
        ("attempts", "9223372036854775807", "odd"),
        ("retry_count", "'many'", "odd"),
        ("retry_count", "x'00'", "odd"),
        ("replays", "'many'", "odd"),
        ("failures", "'many'", "odd"),
        ("priority", "0.5", "odd"),
        ("created", "'yesterday'", "odd"),
        ("created", "x'00'", "odd"),
        ("next_attempt", "-9e999", "odd"),
        ("args", "x'5b5d'", "holds what is no text"),
        ("kwargs", "x'ff'", "holds what is no text"),
        ("codec", "x'00'", "holds what is no text"),
        ("mac", "x'00'", "holds what is no text"),
        ("function_name", "x'00'", "holds what is no text"),
        ("function_name", "CAST(x'610062' AS TEXT)", "does not verify"),
        ("function_name", "CAST(x'ff' AS TEXT)", "cannot be read"),
        ("uuid", "x'ff00'", "cannot be read"),
        ("uuid", "CAST(x'ff' AS TEXT)", "cannot be read: its id is no UTF-8"),
        ("uuid", "CAST(x'610062' AS TEXT)", "its id holds a NUL"),
        ("next_attempt", "9e999", "its due time is none"),
        ("next_attempt", "'soon'", "its due time is none"),
        ("next_attempt", "x'00'", "its due time is none"),
        ("priority", "40000", "odd"),
        ("priority", "'high'", "its priority is none"),
        ("pool", "x'00'", "its pool is none"),
        ("pool", "CAST(x'ff' AS TEXT)", "its pool is none"),
    ],
    "postgresql": [
        ("attempts", "2147483647", "cannot be read: integer out of range"),
        ("created", "'20000-01-01'", "cannot be read: timestamp too large"),
        ("created", "'-infinity'", "cannot be read: timestamp too small"),
        ("next_attempt", "'-infinity'", "odd"),
        ("next_attempt", "'infinity'", "its due time is none"),
        ("next_attempt", "'NaN'", "its due time is none"),
    ],
}
# (SQLite takes any type, but no NULL.)
NULLS = ["attempts", "args", "kwargs", "mac", "codec", "function_name", "status", "queue", "priority", "pool"]


def test_columns_edited_by_hand_fail_their_task_or_change_nothing(site, vendor):
    edits = EDITS + OWN_EDITS[vendor]
    ids = site.call(f"show([handle.id for handle in fail.map(['odd'] * {len(edits)})])")
    for number, (task_id, (column, value, _)) in enumerate(zip(ids, edits, strict=True)):
        site.sql(f"UPDATE {TABLE} SET crashes = ? WHERE uuid = ?", number, task_id)
        site.sql(f"UPDATE {TABLE} SET {column} = {value} WHERE uuid = ?", task_id)
    daemon = site.start()
    good = site.call("show([add.async_(1).result(20), add.async_(3, 4).result(20)])")
    assert good == [1, 7]
    site.wait_count(len([edit for edit in edits if edit[2]]), status="FAILED")
    rows = site.sql(
        f"SELECT crashes, status, last_exception FROM {TABLE} WHERE function_name NOT LIKE '%.add'"
    )
    for number, status, reason in rows:
        column, value, why = edits[number]
        if why is None:
            assert (status != "FAILED", reason) == (True, None), (column, value)
        else:
            assert (status, why in reason) == ("FAILED", True), (column, value, status, reason)
    assert len(rows) == len(edits)
    assert "degraded" not in daemon.log
    assert daemon.stop() == 0


def test_nothing_that_must_be_there_can_be_missing(site):
    site.call("add.async_(1)")
    for column in NULLS:
        with pytest.raises(Exception, match=r"(?i)not.null"):
            site.sql(f"UPDATE {TABLE} SET {column} = NULL")


@pytest.mark.parametrize("status", ["NONSENSE", "queued", ""])
def test_a_state_that_nobody_knows_cannot_be_written(site, status):
    site.call("add.async_(1)")
    with pytest.raises(Exception, match=r"ztask_status"):
        site.sql(f"UPDATE {TABLE} SET status = ?", status)
