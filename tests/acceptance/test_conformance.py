"""A task in a child process behaves exactly like one in a slot: the same calls through both, and the same rows."""

import os
import re

import pytest

from tests.acceptance.daemon import wait_for
from tests.acceptance.test_failures import KINDS

pytestmark = pytest.mark.acceptance

CALLS = """
    import datetime, decimal
    values = [None, 1, "Zürich", [1, [2.5, None]], {"a": {"b": []}}, (1, 2), {1: 2}, b"bytes", 10**30,
              decimal.Decimal("1.10"), datetime.date(2026, 11, 22), "x" * 5_000_000]
    made = {f"value {n}": echo.async_(value) for n, value in enumerate(values)}
    made |= {f"raises {kind}": nasty.async_(kind) for kind in KINDS}
    made |= {
        "fails": fail.async_("sold out"),
        "fails once": fail_once.async_(7),
        "second attempt": at_second_attempt.async_(),
        "wrong arguments": add.using(retry_count=0).async_(1, b="x"),
        "soft limit": slow.async_(30),
        "language": speak.async_("de"),
        "no language": speak.async_(None),
        "transaction": in_atomic.async_(),
        "row": order.async_(42),
        "more tasks": enqueue_more.async_(3),
    }
    made |= {f"async {kind}": anasty.async_(kind) for kind in COROUTINES}
    made |= {
        "async value": aecho.async_({"a": (1, 2)}, 0.01),
        "async fails": afail.async_("sold out"),
        "async fails once": afail_once.async_(7),
        "async wrong arguments": aecho.using(retry_count=0).async_(1, seconds="x"),
        "async ORM": aorm.async_(100),
        "async who": awho.async_(),
        "async tools": atools.async_("/"),
        "async soft limit": aslow.async_(30),
        "async soft limit in a part": aslow_part.async_(30),
        "async swallows": aswallow.async_(),
        "async converts": aconvert.async_(),
        "async cleans up": acleans.async_(30),
        "async blocks": ablock.using(timeout=0.2, retry_count=0).async_(0.6),
        "async leaves": aleave.async_(),
        "async language": aspeak.async_("de"),
        "async no language": aspeak.async_(None),
        "async more tasks": aenqueue.async_(3),
        "async transaction": ain_atomic.async_("part"),
        "async transaction in a thread": ain_atomic.async_("thread"),
    }
    show({name: handle.id for name, handle in made.items()})
"""

# How `anasty` ends.
COROUTINES = ("cancelled", "cancels itself", "exit", "part exits", "subtask exits", "group")

COLUMNS = "status, attempts, failures, crashes, interruptions, retry_count, result, last_exception, traceback"


def outcome_of(site, *options):
    """The rows of all calls, with what differs from run to run taken out."""
    site.start(*options)
    made = site.call(CALLS.replace("COROUTINES", repr(COROUTINES)).replace("KINDS", repr(KINDS)))
    found = {}
    for name, task_id in made.items():
        wait_for(lambda task_id=task_id: site.task(task_id)["status"] in ("SUCCEEDED", "FAILED"), name)
        [row] = site.sql(f"SELECT {COLUMNS} FROM django_ztask_task WHERE uuid = ?", task_id)
        found[name] = [_same(value, made) for value in row]
    site.wait_count(0, status="QUEUED")
    site.wait_count(0, status="RUNNING")
    return found


def _same(value, made):
    """Without what differs from run to run: ids, MACs, addresses in memory."""
    if not isinstance(value, str):
        return value
    for name, task_id in made.items():
        value = value.replace(task_id, f"<{name}>")
    # How a limit comes into a task is the place's own.
    value = re.sub(r'  File "[^"]*/(ztaskd/workers|gevent)/.*\n(    .*\n)*', "", value)
    value = re.sub(r"^pickle:[0-9a-f]{64}:", "pickle:MAC:", value)
    if "maximum recursion depth exceeded" in value:
        return "RecursionError"  # (where it was too deep is another place each time)
    return re.sub(r"0x[0-9a-f]{6,}", "0x", value)


def test_the_same_calls_leave_the_same_rows_in_slots_and_in_children(new_site):
    here = outcome_of(new_site())
    there = outcome_of(new_site(), "--multiprocess", "--worker-pool-size", "2")
    assert here.keys() == there.keys()
    for name, row in here.items():
        assert there[name] == row, name


CANCELS = """
    made = {way: when_cancelled.async_(way) for way in ("clean", "error", "exit", "return")}
    made["at most once"] = when_cancelled.using(at_most_once=True).async_("error")
    made["later"] = when_cancelled.after(3600, "clean")
    made["by itself"] = cancels_itself.async_()
    show({name: handle.id for name, handle in made.items()})
"""


def cancels_of(site, *options):
    """The rows and attempts of calls that were cancelled, or cancelled themselves."""
    site.start(*options)
    made = site.call(CANCELS)
    wait_for(lambda: len(site.ledger) == 5, "all to begin")
    answers = site.call(f"show([TaskHandle(id).cancel() for id in {list(made.values())[:-1]!r}])")
    found = {}
    for name, task_id in made.items():
        wait_for(lambda task_id=task_id: site.task(task_id)["status"] in ("SUCCEEDED", "CANCELLED"), name)
        rows = site.sql(f"SELECT {COLUMNS} FROM django_ztask_task WHERE uuid = ?", task_id)
        rows += site.sql(
            "SELECT attempt, kind, exception FROM django_ztask_attempt WHERE task_id = ?", task_id
        )
        found[name] = [[_same(value, made) for value in row] for row in rows]
    assert len(site.ledger) == 5, "none began again"
    return answers, found


def test_what_is_cancelled_leaves_the_same_rows_in_slots_and_in_children(new_site):
    here = cancels_of(new_site())
    there = cancels_of(new_site(), "--multiprocess", "--worker-pool-size", "6")
    assert here == there
    answers, rows = here
    assert answers == [True] * 6
    ends = {name: (row[0][0], [attempt[1] for attempt in row[1:]]) for name, row in rows.items()}
    assert ends == {
        "clean": ("CANCELLED", ["cancelled"]),
        "error": ("CANCELLED", ["cancelled"]),
        "exit": ("CANCELLED", ["cancelled"]),
        "return": ("SUCCEEDED", []),
        "at most once": ("CANCELLED", ["cancelled"]),
        "later": ("CANCELLED", []),
        "by itself": ("CANCELLED", ["cancelled"]),
    }
    assert rows["error"][1][2] == "ValueError: while it cleaned up"


@pytest.mark.parametrize("where", [(), ("--multiprocess", "--worker-pool-size", "1")], ids=["slot", "child"])
def test_what_a_task_logs_and_prints_is_in_the_daemons_log(site, where):
    daemon = site.start(*where)
    logged, printed, shouted = site.call(
        "show([h.id for h in (log.async_('careful'), say.async_('said'), shout.async_('shouted'))])"
    )
    for task_id in (logged, printed, shouted):
        site.wait_status(task_id, "SUCCEEDED")
    assert re.search(rf"shop WARNING task {logged}: careful$", daemon.says("careful"))
    daemon.says("said")
    daemon.says("shouted")


def test_each_task_says_where_it_runs(site):
    site.start("--worker-pool-size", "2")
    here, there = site.call("show([pid.async_().result(20), pid.using(pool='process').async_().result(20)])")
    assert here == site.programs[0].pid
    assert there != here
    assert os.getpgid(there) == there, "a session of its own"
    assert site.call("show(who.using(pool='process').async_().result(20)[1:])") == [
        "tests.project.shop.tasks.who",
        1,
    ]
