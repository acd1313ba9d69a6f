"""PostgreSQL restarts, refuses, or breaks off: the daemon goes on, and nothing is lost or charged to a task."""

import json
import os
import signal
import time

import psycopg
import pytest

from tests.acceptance.daemon import wait_for
from tests.acceptance.faults import Held, ServerLog, degraded_lines, longest_gap, settled

# (`vendor` of conftest.py)
pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.faults,
    pytest.mark.parametrize("vendor", ["postgresql"], indirect=True),
]

# A caller for as long as the file STOP is not there. A call that raised is not accepted.
CALLER = """
from django.db import Error, connection
accepted, refused = [], 0
n = 0
while not os.path.exists(os.environ["STOP"]):
    n += 1
    try:
        accepted.append((order if n % 3 == 0 else mark).async_(n).id)
    except Error:
        refused += 1
        connection.close()
    time.sleep(0.005)
show([accepted, refused])
"""

SESSIONS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"

OTHER = "other"
END_ALL_BUT = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name <> %s AND pid <> pg_backend_pid() AND datname = current_database()"""


def take_all(database):
    """All the connections that there are left."""
    taken = []
    while True:
        try:
            taken.append(database.connect(application_name=OTHER))
        except psycopg.OperationalError:
            return taken


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_restart_of_the_server_under_load_loses_nothing_that_was_accepted(new_site, figure, mode):
    # A task that uses the database itself fails while there is none; that is its own failure, and retried.
    site = new_site(ZTASKD_RETRY_COUNT=20, ZTASKD_RETRY_AFTER=0.5)
    daemon = site.start("-c", "20")
    stop = site.folder / "stop"
    held = Held(site, 5)
    caller = site.spawn(CALLER, STOP=str(stop))
    site.wait_marks(50)
    began = time.monotonic()
    site.made.server.restart(mode)
    away = time.monotonic() - began
    daemon.says("the journal works again")
    before = len(site.marks())
    site.wait_marks(before + 50)
    held.let_go()
    stop.touch()
    assert caller.wait() == 0, caller.text
    accepted, refused = json.loads(caller.text.splitlines()[-1])
    done = "SELECT count(*) FROM django_ztask_task WHERE uuid = ANY(%s) AND status = 'SUCCEEDED'"
    ids = accepted + held.ids
    wait_for(lambda: site.sql(done, ids) == [len(ids)], "every accepted task")
    unharmed = "crashes = 0 AND (failures = 0 OR function_name LIKE '%%.order')"
    assert site.sql(f"SELECT count(*) FROM django_ztask_task WHERE NOT ({unharmed})") == [0]
    site.wait_count(0, status="RUNNING")
    lines = degraded_lines(daemon)
    assert 1 <= len(lines) < 6, lines
    repeated = site.sql("SELECT count(*) FROM django_ztask_task WHERE attempts > failures + 1")[0]
    figure(
        f"PostgreSQL restarted ({mode}, away {away:.1f} s): {len(ids)} accepted, {refused} refused, lost 0, "
        f"claimed twice {repeated}"
    )
    if mode == "fast":
        assert len(site.marks()) == len(set(site.marks()))
    assert daemon.stop() == 0


def test_when_others_have_all_the_connections_the_daemon_waits_for_one(site):
    daemon = site.start()
    held, server = Held(site), ServerLog(site)
    others = []
    turns = 0
    try:
        with site.made.connect() as admin:
            while server.count("too many clients") <= turns:  # (one is ours in each turn)
                admin.execute(END_ALL_BUT, [OTHER])
                others += take_all(site.made)
                turns += 1
                assert turns < 1000
            held.let_go()
    finally:
        for other in others:
            other.close()
    held.unharmed()
    daemon.says("the journal works again")
    assert site.call("show(add.async_(1, 1).result(20))") == 2


def test_a_database_that_turns_read_only_stops_no_task_and_is_used_again_afterwards(site):
    daemon = site.start()
    held, server = Held(site), ServerLog(site)
    admin, name = site.made.server.admin, site.made.name
    admin.sql(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    site.made.disconnect_all()
    held.let_go()
    server.says("cannot execute UPDATE in a read-only transaction")
    daemon.says("degraded: ")
    error = site.call("""
        from django.db import Error
        try:
            show(add.async_(1, 1).id)
        except Error as error:
            show(str(error))
    """)
    assert "read-only" in error
    admin.sql(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
    held.unharmed()
    daemon.says("the journal works again")
    assert site.call("show(add.async_(1, 1).result(20))") == 2
    assert site.count() == 2


def test_while_the_database_does_not_answer_at_all_tasks_go_on_and_a_stop_ends_in_time(site, figure):
    daemon = site.start("--grace", "0")
    held = Held(site)
    site.call("ticks.async_(2000, 0.02)")
    site.wait_count(2, status="RUNNING")
    sessions = site.sql(SESSIONS)
    for pid in sessions:
        os.kill(pid, signal.SIGSTOP)
    try:
        held.let_go()
        so_far = len(site.ledger)
        wait_for(lambda: len(site.ledger) > so_far + 50, "fifty more ticks")
        assert "degraded" in daemon.says("it has not answered for")
        began = time.monotonic()
        assert daemon.stop() == 0
        seconds = time.monotonic() - began
    finally:
        for pid in sessions:
            os.kill(pid, signal.SIGCONT)
    gap = longest_gap(site)
    figure(f"PostgreSQL frozen: longest pause of a ticking task {gap * 1000:.0f} ms, stop {seconds:.1f} s")
    assert gap < 1
    assert seconds < 15  # the grace, 2 s for the task's own cleaning up, 5 s for the last outcomes
    site.start().says("recovered ")
    row = site.wait_status(held.ids[0], "SUCCEEDED")
    assert settled(row)[1:] == (0, 0, 0)


def test_a_journal_that_is_emptied_under_the_daemon_is_said_and_it_goes_on(site):
    daemon = site.start()
    held = Held(site, 3)
    site.made.sql("TRUNCATE django_ztask_task, django_ztask_node")
    held.let_go()
    wait_for(lambda: daemon.log.count("taken from this node or deleted") == 3, "three lines about it")
    assert site.call("show(add.async_(1, 1).result(20))") == 2
    assert site.count() == 1
    assert daemon.stop() == 0
