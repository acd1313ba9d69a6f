"""kill -9 in the middle: everything that was accepted is done, and little is done twice."""

from collections import Counter

import pytest

from tests.acceptance.daemon import wait_for

pytestmark = [pytest.mark.acceptance, pytest.mark.both_databases]

SLOTS = 20
AHEAD = 200  # a batch: what may be claimed beyond the slots

# Four threads; each writes down the id of a call when that has returned.
CLIENTS = """
import threading
from django.db import connection
accepted = os.open(os.environ["ACCEPTED"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
def work(thread):
    for n in range(250):
        handle = mark.async_(f"{thread}-{n}", 0.01)
        os.write(accepted, (handle.id + "\\n").encode())
        time.sleep(0.002)
    connection.close()
threads = [threading.Thread(target=work, args=[n]) for n in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


def test_a_daemon_killed_twice_in_the_middle_of_a_thousand_tasks_loses_none(site, figure):
    accepted = site.folder / "accepted"
    daemon = site.start("-c", str(SLOTS))
    # (Something runs at each kill, however fast or slow this machine is.)
    held = site.call("show(gated.async_('held', os.environ['GATE']).id)", GATE=str(site.gate))
    site.wait_status(held, "RUNNING")
    clients = site.spawn(CLIENTS, ACCEPTED=str(accepted))
    for kill in (1, 2):
        wait_for(lambda kill=kill: len(site.marks()) >= kill * 250, "the next 250 tasks")
        daemon.kill9()
        daemon = site.start("-c", str(SLOTS))
        daemon.says("recovered ")
        figure(f"restart after kill -9, start to ready: {daemon.log.split('ready in ')[1].split(':')[0]}")
    site.gate.touch()
    assert clients.wait(60) == 0, clients.text
    ids = accepted.read_text().split()
    assert len(ids) == len(set(ids)) == 1000
    site.wait_count(1001, status="SUCCEEDED")
    assert {*ids, held} == set(site.sql("SELECT uuid FROM django_ztask_task WHERE status = 'SUCCEEDED'"))
    runs = Counter(site.marks())
    assert runs.pop("held") == 1
    assert len(runs) == 1000
    extra = sum(runs.values()) - 1000
    figure(f"runs repeated by two kills -9 of 1,000 tasks: {extra}")
    assert extra <= 2 * (SLOTS + AHEAD)
    assert site.sql("SELECT sum(failures), sum(crashes) FROM django_ztask_task") == [(0, 0)]
    assert site.count(status="SUCCEEDED", attempts=1) >= 1000 - 2 * (SLOTS + AHEAD)
    assert daemon.stop() == 0


def test_a_task_that_was_running_when_the_daemon_was_killed_runs_again_at_once(site):
    daemon = site.start("-c", "1")
    running, waiting = site.call(
        "show([gated.async_('running', os.environ['GATE']).id, mark.async_('waiting').id])",
        GATE=str(site.gate),
    )
    site.wait_status(running, "RUNNING")
    daemon.kill9()
    site.gate.touch()
    assert site.task(running)["status"] == "RUNNING"  # that is what the dead daemon has left
    daemon = site.start("-c", "1")
    assert "recovered" in daemon.says("recovered ")
    row = site.wait_status(running, "SUCCEEDED")
    assert (row["failures"], row["crashes"], row["interruptions"]) == (0, 0, 0)
    site.wait_status(waiting, "SUCCEEDED")
    assert sorted(site.marks()) == ["running", "waiting"]


def test_retries_and_later_tasks_outlive_a_kill(site):
    daemon = site.start()
    retried, later = site.call(
        """
        retried = fail_unless.using(retry_count=1, retry_after=5).async_(os.environ["GATE"])
        show([retried.id, mark.after(1, "later").id])
    """,
        GATE=str(site.gate),
    )
    wait_for(lambda: site.task(retried)["failures"] == 1, "its first failure")
    daemon.kill9()
    (site.gate).touch()
    site.start()
    assert site.wait_status(retried, "SUCCEEDED")["attempts"] == 2
    assert site.wait_status(later, "SUCCEEDED")["attempts"] == 1


def test_a_killed_daemon_leaves_no_lock_that_stops_the_next_one(site):
    pidfile = site.folder / "pid"
    for _ in range(2):
        daemon = site.start("--pidfile", str(pidfile))
        assert pidfile.read_text().strip() == str(daemon.pid)
        site.call("add.async_(1, 1).result(20)")
        daemon.kill9()
    assert site.count(status="SUCCEEDED", attempts=1) == 2
    site.start()
    assert site.sql("SELECT count(*) FROM django_ztask_node") == [1]
