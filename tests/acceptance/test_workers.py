"""Child processes: what becomes of a task whose child is killed, of a child that grows, and of both when the daemon
stops or dies.
"""

import os
import platform
import re
import signal
from pathlib import Path

import pytest

from tests.acceptance.daemon import wait_for
from ztaskd.workers.turns import SCHED_SETATTR, SLICE

pytestmark = pytest.mark.acceptance

ONE = ("--multiprocess", "--worker-pool-size", "1")
NICE = 10
TWO = ("--multiprocess", "--worker-pool-size", "2")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_a_task_whose_child_is_killed_runs_again_in_another_one(site, number):
    daemon = site.start(*ONE)
    task_id = site.call("show(long.async_(30, first=True).id)")
    wait_for(lambda: site.ledger, "the task to begin")
    [child] = children(daemon)
    os.kill(child, number)
    row = site.wait_status(task_id, "SUCCEEDED")
    assert (row["attempts"], row["crashes"], row["failures"], row["retry_count"]) == (2, 1, 0, 2)
    assert site.sql("SELECT kind FROM django_ztask_attempt WHERE task_id = ?", task_id) == ["crash"]
    assert number.name in daemon.log
    assert children(daemon) != [child]


def test_a_task_that_takes_its_process_along_three_times_is_failed_and_harms_nobody(site):
    daemon = site.start(*TWO)
    bad, fine = site.call("show([exits.async_().id, [mark.async_(str(n)).id for n in range(20)]])")
    row = site.wait_status(bad, "FAILED")
    assert (row["attempts"], row["crashes"], row["failures"]) == (3, 3, 0)
    assert "ended with code 7" in row["last_exception"]
    for task_id in fine:
        assert site.wait_status(task_id, "SUCCEEDED")["attempts"] == 1
    assert daemon.stop() == 0


def test_an_at_most_once_task_whose_child_is_killed_never_starts_again(site):
    daemon = site.start(*ONE)
    task_id = site.call("show(long.using(at_most_once=True).async_(30).id)")
    wait_for(lambda: site.ledger, "the task to begin")
    os.kill(children(daemon)[0], signal.SIGKILL)
    row = site.wait_status(task_id, "FAILED")
    assert (row["attempts"], row["crashes"]) == (1, 1)
    assert "it is at_most_once, and stays FAILED" in daemon.says(task_id)
    assert daemon.stop() == 0
    site.start(*ONE, "--replayfailed").says("1 at_most_once task(s) that had started stay FAILED")
    assert site.task(task_id)["attempts"] == 1


@pytest.mark.parametrize("left", ["leave_transaction_open", "leave_atomic_open", "leave_connection_closed"])
def test_what_a_task_does_to_its_connection_does_not_reach_the_next_one(site, left):
    site.start(*ONE)
    first, *after = site.call(f"show([h.id for h in ({left}.async_(), order.async_(8), in_atomic.async_())])")
    assert site.wait_status(first, "SUCCEEDED")["attempts"] == 1
    for task_id in after:
        assert site.wait_status(task_id, "SUCCEEDED")["attempts"] == 1
    assert site.task(after[1])["result"] == "[false,true]"
    assert site.sql("SELECT number FROM shop_order") == [8]


def test_a_task_that_ignores_its_limit_is_killed_with_its_child(site):
    site.start(*ONE)
    task_id = site.call("show(stubborn.using(timeout=0.2, hard_timeout=0.5, retry_count=0).async_(60).id)")
    row = site.wait_status(task_id, "FAILED")
    assert row["last_exception"] == "the hard time limit of 0.5 s: its process was killed"
    assert (row["failures"], row["crashes"]) == (1, 0)


def test_no_child_outlives_a_daemon_that_is_killed(site):
    daemon = site.start(*TWO)
    site.call("show([stubborn.async_(60).id, long.async_(30).id])")
    wait_for(lambda: len(site.ledger) >= 2, "both to begin")
    found = children(daemon)
    assert len(found) == 2
    daemon.kill9()
    wait_for(lambda: not [pid for pid in found if is_alive(pid)], "the children to be gone")


def test_a_stop_waits_for_children_and_hands_back_what_does_not_end(site):
    daemon = site.start(*TWO, "--grace", "1")
    short, endless = site.call("show([mark.async_('short', 0.5).id, long.async_(60).id])")
    wait_for(lambda: ["began", endless] in site.ledger, "it to begin")
    wait_for(lambda: site.task(short)["status"] != "QUEUED", "the other to begin")
    assert daemon.stop() == 0
    assert site.task(short)["status"] == "SUCCEEDED"
    row = site.task(endless)
    assert (row["status"], row["interruptions"], row["crashes"]) == ("QUEUED", 1, 0)


def test_a_child_gives_way_to_the_daemon(site):
    site.settings["ZTASKD_CHILD_NICE"] = NICE
    daemon = site.start(*ONE)
    child = site.call("show(pid.async_().result(20))")
    assert os.getpriority(os.PRIO_PROCESS, child) == min(
        os.getpriority(os.PRIO_PROCESS, daemon.pid) + NICE, 19
    )
    group, slice_ = Path(f"/proc/{child}/autogroup"), Path(f"/proc/{child}/sched")
    if group.exists() and Path("/proc/sys/kernel/sched_autogroup_enabled").read_text().strip() == "1":
        assert group.read_text().split()[-1] == str(NICE)
        assert Path(f"/proc/{daemon.pid}/autogroup").read_text().split()[-1] == "0"
    found = re.search(r"se\.slice +: +(\d+)", slice_.read_text() if slice_.exists() else "")
    if found and platform.machine() in SCHED_SETATTR:
        assert int(found[1]) == SLICE * 1e9


def test_a_child_that_dies_while_it_is_idle_is_replaced(site):
    daemon = site.start(*ONE)
    first = site.call("show(pid.async_().result(20))")
    os.kill(first, signal.SIGKILL)
    daemon.says("it ended while it was idle")
    wait_for(lambda: children(daemon) not in ([], [first]), "another one")
    assert site.call("show(pid.async_().result(20))") == children(daemon)[0] != first


def test_a_child_is_replaced_after_so_many_tasks_and_when_it_has_grown(site):
    daemon = site.start(*ONE, "--max-tasks-per-child", "3", "--max-memory-per-child", "200")
    pids = site.call("show([pid.async_().result(20) for n in range(7)])")
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [3, 3, 1]
    daemon.says("is replaced after 3 task(s)")
    last, fat = site.call("show([pid.async_().result(20), grow.async_(300).result(20)])")
    assert fat == last == pids[-1]
    assert re.search(r"is replaced after 3 task\(s\), at (3\d\d|4\d\d) MiB", daemon.says(" at 3"))
    assert site.call("show(pid.async_().result(20))") != fat


def test_a_child_that_a_thread_keeps_from_ending_is_killed_when_it_is_replaced(site):
    site.start(*ONE, "--max-tasks-per-child", "1")
    child = site.call("show(leave_thread.async_(60).result(20))")
    wait_for(lambda: not is_alive(child), "it to be gone")


def test_a_child_that_floods_its_output_or_result_or_the_log_harms_nobody(site):
    daemon = site.start(*TWO)
    flood, big, logs = site.call("""
        show([h.id for h in (say.async_("flood " * 2_000_000), echo.async_("x" * 10_000_000), log.async_("y" * 100_000))])
    """)
    for task_id in (flood, big, logs):
        site.wait_status(task_id, "SUCCEEDED")
    assert site.task(big)["result"].startswith("repr:its text has 10000002 characters")
    assert daemon.stop() == 0


def test_a_task_that_closes_descriptors_forks_or_leaves_a_process_behind_harms_nobody(site):
    daemon = site.start(*ONE)
    closes, forks, leaves = site.call("""
        show([h.id for h in (close_many.async_(), fork.async_(), leave_behind.async_(5))])
    """)
    for task_id in (closes, forks):
        row = site.wait_status(task_id, "SUCCEEDED")
        assert (row["attempts"], row["crashes"]) == (1, 0)
    assert site.wait_status(leaves, "FAILED", 20)["crashes"] == 3, "its child's end is noticed all the same"
    assert site.call("show(add.async_(1, 2).result(20))") == 3
    assert daemon.stop() == 0


def test_a_project_that_does_not_load_in_a_child_is_told_and_its_tasks_wait(new_site):
    site = new_site(ZTASKD_ON_LOAD=["tests.project.shop.tasks.Loading"])
    daemon = site.start("--worker-pool-size", "1")
    broken = Path(f"{site.ledger_path}.broken")
    broken.touch()
    task_id = site.call("show(add.using(pool='process').async_(1, 2).id)")
    line = daemon.says("worker-1 does not come up, tasks for child processes wait")
    assert "ZTASKD_ON_LOAD: tests.project.shop.tasks.Loading raised" in line
    assert site.call("show(add.async_(1, 2).result(20))") == 3, "others go on"
    broken.unlink()
    site.wait_status(task_id, "SUCCEEDED")


def children(daemon):
    text = Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children").read_text()
    return [int(pid) for pid in text.split()]


def is_alive(pid):
    """(A zombie that waits for init is not.)"""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
