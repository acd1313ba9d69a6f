"""SQLite's lock in the hands of another process for half a minute: the hub goes on, nothing is lost or charged."""

import json
import time

import pytest

from tests.acceptance.daemon import wait_for
from tests.acceptance.faults import Held, degraded_lines, lock_held, longest_gap, settled

pytestmark = [pytest.mark.acceptance, pytest.mark.faults]

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
show("ready")
while not os.path.exists(os.environ["LOCKED"]):
    time.sleep(0.01)
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
    held = Held(site, 10)
    site.call("ticks.async_(1600, 0.02)")
    site.wait_count(11, status="RUNNING")
    locked = site.folder / "locked"
    callers = site.spawn(CALLERS, LOCKED=str(locked))
    wait_for(lambda: callers.text, "the callers")
    with lock_held(site.database):
        began = time.time()
        locked.touch()
        held.let_go()
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
    held.unharmed(*accepted)
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
    held = Held(site)
    running = site.call("show(long.async_(60, first=True).id)")
    site.wait_count(2, status="RUNNING")
    with lock_held(site.database):
        held.let_go()
        began = time.monotonic()
        assert daemon.stop() == 0
        seconds = time.monotonic() - began
        figure(f"stop while SQLite is locked, with a grace of 0.5 s: {seconds:.1f} s")
        assert seconds < 15  # the grace, and 5 s for the last outcomes
        assert "could not be written" in daemon.log.splitlines()[-1]
        assert site.count(status="RUNNING", attempts=1) == 2
    again = site.start()
    again.says("recovered 2 task(s)")
    for task_id in (*held.ids, running):  # what has ended and could not be written runs again: at least once
        assert settled(site.wait_status(task_id, "SUCCEEDED")) == (2, 0, 0, 0)
    assert again.stop() == 0
