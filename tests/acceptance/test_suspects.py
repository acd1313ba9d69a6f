"""A task that takes the whole daemon along names itself: what a dead daemon held runs alone, each in a child process,
while the slots serve everybody else.
"""

import os
import signal
import textwrap
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.acceptance.daemon import wait_for
from tests.acceptance.test_workers import children, is_alive
from ztaskd.workers.pool import SURVIVED

pytestmark = pytest.mark.acceptance

IMPORT = "from tests.project.shop.suspects import *\n"

# How the guilty one ends its process, and what is said of that.
ENDS = {"segfault": "it was ended by SIGSEGV", "exit": "it ended with code 7"}


class Crowd:
    """Running tasks that finish once the gate is open. With `how`, one of them ends its process once its own gate is."""

    def __init__(self, site, size, how=None):
        self.site = site
        self.trap = site.folder / "trap"
        code = f"""
            handles = [innocent.async_(f"crowd-{{n}}", {str(site.gate)!r}) for n in range({size - bool(how)})]
            one = guilty.async_({how!r}, {str(self.trap)!r}).id if {how!r} else None
            show([one, [handle.id for handle in handles]])
        """
        self.guilty, self.innocent = site.call(IMPORT + textwrap.dedent(code))
        site.wait_count(size, status="RUNNING")
        self.wait_begun(size)

    def wait_begun(self, number):
        """Until so many have begun in all."""
        wait_for(lambda: self.begun() >= number, f"{number} beginnings", 120)

    def begun(self):
        return len([line for line in self.site.ledger if line[0] == "began"])

    def finishes(self):
        for task_id in self.innocent:
            row = self.site.wait_status(task_id, "SUCCEEDED", 120)
            assert (row["crashes"], row["failures"], row["interruptions"]) == (0, 0, 0)
        assert sorted(self.site.marks()) == sorted(f"crowd-{n}" for n in range(len(self.innocent)))


@pytest.mark.both_databases
def test_of_a_hundred_running_tasks_the_one_that_ended_the_daemon_is_named_and_the_others_finish(site):
    ends_its_daemon_once(site, 100, "segfault")


def test_a_task_that_ends_its_process_by_itself_is_named_as_well(site):
    ends_its_daemon_once(site, 10, "exit")


def ends_its_daemon_once(site, size, how):
    first = site.start("-c", "100")
    crowd = Crowd(site, size, how)
    assert first.process.poll() is None
    crowd.trap.touch()
    assert first.wait() == (-signal.SIGSEGV if how == "segfault" else 7)
    assert site.count(status="RUNNING") == size, "it took all of them along"
    site.gate.touch()
    second = site.start("-c", "100")
    second.says(f"recovered {size} task(s) of a node that is gone: each runs again, alone in a child process")
    here = site.call("show([pid.async_().result(30) for n in range(5)])")
    assert here == [second.pid] * 5, "slots serve everybody else"
    row = site.wait_status(crowd.guilty, "FAILED", 120)
    assert (row["crashes"], row["failures"], row["attempts"]) == (3, 0, 4)
    reason = f"it has taken its process along 3 times (ZTASKD_MAX_CRASHES): its process died while it ran: {ENDS[how]}"
    assert row["last_exception"] == reason
    line = second.says(f"{reason}; FAILED")
    assert f"task {crowd.guilty} tests.project.shop.suspects.guilty failed" in line
    assert "Mend it, then run it again with `ztaskd --replayfailed`" in line
    crowd.finishes()
    assert second.log.count(" is gone: it ") == 3, "three children died, and nothing else"
    wait_for(lambda: not children(second), "the children to be gone")
    assert second.stop() == 0


@pytest.mark.both_databases
def test_three_power_cuts_in_a_row_quarantine_nobody(site):
    daemon = site.start("-c", "20")
    crowd = Crowd(site, 20)
    begun = 20
    for _ in range(3):
        cut_power(daemon)
        daemon = site.start("-c", "20")
        daemon.says("recovered 20 task(s)") if begun == 20 else daemon.says("recovered 8 task(s)")
        begun += 8
        crowd.wait_begun(begun)  # (eight run at a time)
    site.gate.touch()
    crowd.finishes()
    assert site.sql("SELECT sum(crashes), sum(failures), count(*) FROM django_ztask_task") == [(0, 0, 20)]
    assert daemon.stop() == 0


def test_who_ends_the_children_just_before_their_daemon_is_no_crash_of_theirs(site):
    daemon = site.start("--multiprocess", "--worker-pool-size", "2")
    crowd = Crowd(site, 2)
    for pid in [*children(daemon), daemon.pid]:
        os.kill(pid, signal.SIGKILL)
    daemon.wait()
    site.gate.touch()
    site.start()
    crowd.finishes()


def test_a_crash_is_charged_when_the_daemon_has_lived_on_for_a_moment(site):
    daemon = site.start("--multiprocess", "--worker-pool-size", "1")
    crowd = Crowd(site, 1)
    os.kill(children(daemon)[0], signal.SIGKILL)
    site.gate.touch()
    line = daemon.says("worker-1 (pid ")
    row = site.wait_status(crowd.innocent[0], "SUCCEEDED")
    assert row["crashes"] == 1
    [charged] = site.sql("SELECT finished FROM django_ztask_attempt")
    noticed = datetime.strptime(line[:23], "%Y-%m-%d %H:%M:%S,%f").astimezone(UTC)
    assert (datetime.fromisoformat(charged).replace(tzinfo=UTC) - noticed).total_seconds() > SURVIVED - 0.05


def test_a_stop_by_sigterm_to_every_process_costs_the_tasks_in_children_nothing(site):
    """As systemd does it (KillMode=control-group)."""
    daemon = site.start("--multiprocess", "--worker-pool-size", "2", "--grace", "20")
    crowd = Crowd(site, 2)
    for pid in [*children(daemon), daemon.pid]:
        os.kill(pid, signal.SIGTERM)
    assert daemon.wait() == 0
    for task_id in crowd.innocent:
        row = site.task(task_id)
        assert (row["status"], row["crashes"], row["interruptions"]) == ("QUEUED", 0, 1)


def test_a_suspect_that_fails_is_retried_in_a_slot(site):
    daemon = site.start()
    task_id = site.call(IMPORT + f"show(fails_in_child.async_({str(site.gate)!r}).id)")
    wait_for(lambda: site.ledger, "it to begin")
    cut_power(daemon)
    site.gate.touch()
    daemon = site.start()
    row = site.wait_status(task_id, "SUCCEEDED")
    assert (row["attempts"], row["failures"], row["crashes"], row["pool"]) == (3, 1, 0, "")
    assert row["result"] == str(daemon.pid)


def test_a_limit_ends_a_suspect_as_it_ends_any_task(site):
    daemon = site.start()
    options = "timeout=0.3, hard_timeout=0.6, retry_count=0"
    task_id = site.call(IMPORT + f"show(endless.using({options}).async_(60).id)")
    wait_for(lambda: site.ledger, "it to begin")
    cut_power(daemon)
    site.start()
    row = site.wait_status(task_id, "FAILED")
    assert row["last_exception"] == "the hard time limit of 0.6 s: its process was killed"
    assert (row["failures"], row["crashes"]) == (1, 0)


def test_a_stop_hands_suspects_back_and_the_next_daemon_runs_them_alone_too(site):
    daemon = site.start("-c", "20")
    crowd = Crowd(site, 10)
    cut_power(daemon)
    daemon = site.start("-c", "20", "--grace", "0.2")
    crowd.wait_begun(18)
    found = children(daemon)
    assert sorted(names(found)) == [f"suspect-{n}" for n in range(1, 9)]
    assert daemon.stop() == 0
    wait_for(lambda: not [pid for pid in found if is_alive(pid)], "the children to be gone")
    assert site.count(status="QUEUED", pool="suspect") == 10
    assert site.sql("SELECT sum(interruptions), sum(crashes) FROM django_ztask_task") == [(8, 0)]
    daemon = site.start("-c", "20")
    crowd.wait_begun(26)
    assert sorted(names(children(daemon))) == [f"suspect-{n}" for n in range(1, 9)]
    site.gate.touch()
    for task_id in crowd.innocent:
        assert site.wait_status(task_id, "SUCCEEDED")["crashes"] == 0
    wait_for(lambda: not children(daemon), "the children to be gone")


def test_three_hundred_suspects_are_drained_by_eight_children_while_slots_serve_others(site, figure):
    daemon = site.start("-c", "300")
    crowd = Crowd(site, 300)
    cut_power(daemon)
    daemon = site.start("-c", "300")
    crowd.wait_begun(308)
    assert site.call("show([pid.async_().result(30) for n in range(20)])") == [daemon.pid] * 20
    assert crowd.begun() == 308, "no more than eight at a time"
    site.gate.touch()
    began, seen, most = time.monotonic(), set(), 0
    while site.count(status="SUCCEEDED", pool="suspect") < 300:
        found = children(daemon)
        seen.update(found)
        most = max(most, sum(map(memory, found)))
        assert len(found) <= 8
    seconds = time.monotonic() - began
    crowd.finishes()
    assert len(seen) <= 16, "a child takes one after the other"
    figure(f"300 suspects: {seconds:.1f} s in {len(seen)} children, {most // 2**20} MiB of their own in all")
    assert most < 8 * 200 * 2**20
    wait_for(lambda: not children(daemon), "the children to be gone")
    assert not [pid for pid in seen if is_alive(pid)]


def cut_power(daemon):
    """What that does to processes: all of them are gone at once, and none has a word."""
    found = children(daemon)
    daemon.kill9()
    wait_for(lambda: not [pid for pid in found if is_alive(pid)], "the children to be gone")


def names(pids):
    return [Path(f"/proc/{pid}/comm").read_text().strip() for pid in pids]


def memory(pid):
    """Bytes, as far as they are its own."""
    try:
        resident, shared = Path(f"/proc/{pid}/statm").read_text().split()[1:3]
    except OSError:
        return 0
    return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE")
