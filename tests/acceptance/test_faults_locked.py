"""SQLite's lock in the hands of another process for half a minute: the hub goes on, nothing is lost or charged."""

import json
import time

import pytest

from tests.acceptance.daemon import MODULE
from tests.acceptance.faults import degraded_lines, lock_held, longest_gap

pytestmark = pytest.mark.acceptance
PROGRAM = MODULE  # the quickest to start

LOCKED = 30.0  # seconds

# One call every two seconds, each in a thread of its own, with the project's time-out of 20 s.
CALLERS = """
import threading
from django.db import Error, connection
outcomes = []
def call(n):
    began = time.monotonic()
    try:
        outcomes.append([mark.async_(f"caller-{n}").id, time.monotonic() - began])
    except Error as error:
        outcomes.append([None, time.monotonic() - began, str(error)])
    connection.close()
threads = [threading.Thread(target=call, args=[n]) for n in range(10)]
for thread in threads:
    thread.start()
    time.sleep(2)
for thread in threads:
    thread.join()
show(outcomes)
"""


def test_while_sqlite_is_locked_for_30_s_tasks_go_on_and_then_everything_is_written(site, figure):
    daemon = site.start()
    site.call("""
        from django.db import transaction
        with transaction.atomic():
            ticks.async_(1800, 0.02)
            for n in range(10):
                mark.async_(f"m{n}", 2.0 + 2 * n)
    """)
    site.wait_count(11, status="RUNNING")
    with lock_held(site.database):
        began = time.time()
        callers = site.spawn(CALLERS)
        site.wait_marks(10)
        time.sleep(max(0.0, began + LOCKED - time.time()))  # the lock is what is tested: it has to be held
        assert site.count(status="RUNNING") == 11
    assert callers.wait(60) == 0, callers.text
    outcomes = json.loads(callers.text.splitlines()[-1])
    accepted = [outcome[0] for outcome in outcomes if outcome[0]]
    refused = [outcome for outcome in outcomes if not outcome[0]]
    assert accepted
    assert refused
    assert all("locked" in error and seconds > 15 for _, seconds, error in refused), refused
    site.wait_count(11 + len(accepted), status="SUCCEEDED", attempts=1, failures=0, crashes=0)
    assert site.count() == 11 + len(accepted)  # what was refused has no row
    assert set(accepted) <= set(site.sql("SELECT uuid FROM django_ztask_task"))
    assert sorted(site.marks()[:10]) == sorted(f"m{n}" for n in range(10))
    assert site.sql("SELECT count(*) FROM django_ztask_attempt") == [0]
    lines = degraded_lines(daemon)
    assert 1 <= len(lines) <= 6, lines
    assert "locked" in lines[0]
    daemon.says("the journal works again")
    assert daemon.log.count("the journal works again") == 1
    gap = longest_gap(site)
    figure(
        f"SQLite locked for {LOCKED:g} s: longest pause of a task ticking every 20 ms: {gap * 1000:.0f} ms"
    )
    assert gap < 1
    assert daemon.stop() == 0


def test_a_stop_while_sqlite_is_locked_ends_in_time_and_the_next_start_runs_what_was_claimed(site, figure):
    daemon = site.start("--grace", "0.5")
    # (what has ended and could not be written is run again: that is the promise)
    finished, running = site.call("show([mark.async_('finished', 0.5).id, long.async_(60, first=True).id])")
    site.wait_count(2, status="RUNNING")
    with lock_held(site.database):
        site.wait_marks(1)
        began = time.monotonic()
        assert daemon.stop() == 0
        seconds = time.monotonic() - began
        figure(f"stop while SQLite is locked, with a grace of 0.5 s: {seconds:.1f} s")
        assert seconds < 15  # the grace, and 5 s for the last outcomes
        assert "could not be written" in daemon.log.splitlines()[-1]
        assert site.count(status="RUNNING", attempts=1) == 2
    again = site.start()
    again.says("recovered 2 task(s)")
    for task_id in (finished, running):
        row = site.wait_status(task_id, "SUCCEEDED")
        assert (row["attempts"], row["failures"], row["crashes"], row["interruptions"]) == (2, 0, 0, 0)
    assert again.stop() == 0
