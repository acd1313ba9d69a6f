"""Tasks that do not let the daemon's hub turn: they are named, ended by their limit, or end the process. And SIGUSR1."""

import re
import signal
from pathlib import Path

import pytest

from tests.acceptance.daemon import wait_for

pytestmark = pytest.mark.acceptance

HOGS = "from tests.project.shop.hogs import *\n"


@pytest.mark.parametrize(
    "how", ["compute", "sleep_natively", "compute_in_a_coroutine", "compute_in_a_thread"]
)
def test_a_task_that_blocks_the_daemon_is_named_with_its_place_and_how_long(site, how):
    daemon = site.start()
    task_id = site.call(f"{HOGS}h = {how}.async_(1.4); h.result(20); show(h.id)")
    ending = "; give it @task(pool='process')"
    line = daemon.says(" s at tests/project/shop/hogs.py")
    [found] = re.findall(
        rf"task {task_id} tests\.project\.shop\.hogs\.{how} has blocked .* for (.*) s at", line
    )
    assert 1.3 < float(found) < 20
    assert line.endswith(ending)
    assert " WARNING " in line
    assert daemon.log.count(" s at tests/project/shop/hogs.py") == 1
    assert "s so far at tests/project/shop/hogs.py" in daemon.log  # said while it lasted
    daemon.signal(signal.SIGUSR1)
    assert "1 time(s)" in daemon.says(f"hogs.{how} has blocked the daemon 1 ")


def test_while_one_task_blocks_the_others_are_neither_named_nor_interrupted(new_site):
    site = new_site(ZTASKD_HUB_BLOCKED_AFTER=1)  # (a busy machine may stop any of them for a moment)
    daemon = site.start()
    waiting = site.call("show([mark.using(timeout=60).async_(str(n), 3).id for n in range(20)])")
    wait_for(lambda: site.count(status="QUEUED") == 0, "them to run")
    site.call(f"{HOGS}compute.async_(2).result(20)")
    daemon.says("hogs.compute has blocked")
    for task_id in waiting:
        site.wait_status(task_id, "SUCCEEDED")
    assert "tasks.mark has blocked" not in daemon.log


@pytest.mark.parametrize("how", ["endless", "endless_in_a_coroutine"])
def test_a_task_that_never_yields_is_ended_by_its_limit_and_fifty_others_go_on(site, how):
    site.start()
    coroutines = site.call(
        f"{HOGS}show([wait_in_a_coroutine.using(timeout=60).async_(4).id for n in range(5)])"
    )
    others = site.call("show([mark.using(timeout=60).async_(str(n), 4).id for n in range(50)])")
    wait_for(lambda: site.count(status="QUEUED") == 0, "them to run")
    task_id = site.call(f"{HOGS}show({how}.using(timeout=0.5).async_().id)")
    row = site.wait_status(task_id, "FAILED")
    assert row["last_exception"].endswith("TimeLimitExceeded: the task ran longer than its timeout of 0.5 s")
    for other in (*others, *coroutines):
        assert site.wait_status(other, "SUCCEEDED")["attempts"] == 1


def test_a_coroutine_ends_at_its_limit_although_what_it_has_started_was_interrupted_for_it(site):
    daemon = site.start()
    task_id = site.call(f"{HOGS}show(hog_beside.using(timeout=0.5).async_(2).id)")
    assert "TimeLimitExceeded" in site.wait_status(task_id, "FAILED")["last_exception"]
    daemon.says("hogs.hog_beside has blocked")


def test_a_task_that_goes_on_after_its_limit_is_ended_by_its_hard_limit(site):
    daemon = site.start()
    task_id = site.call(f"{HOGS}show(swallow.using(timeout=0.4, hard_timeout=2.5).async_().id)")
    assert site.wait_status(task_id, "FAILED")["last_exception"].endswith("timeout of 0.4 s")
    assert ["swallowed", task_id] in [line[:2] for line in site.ledger]
    line = daemon.says("goes on although TimeLimitExceeded was raised in it")
    assert " ERROR " in line
    assert task_id in line


def test_a_task_in_c_code_beyond_its_limit_is_logged_as_such(site):
    daemon = site.start()
    task_id = site.call(f"{HOGS}show(hash_on.using(timeout=0.3).async_(4).id)")
    line = daemon.says("cannot be interrupted: it is in a C call at tests/project/shop/hogs.py")
    assert " ERROR " in line
    assert task_id in line
    assert "ZTASKD_EXIT_WHEN_BLOCKED" in line
    site.wait_status(task_id, "FAILED")  # at its end
    assert site.call("show(add.async_(1, 2).result(20))") == 3


@pytest.mark.parametrize(
    ("how", "limit", "said"),
    [
        ("python", "", "hang_first has blocked the daemon for"),
        ("c", ".using(timeout=0.3)", "hang_first has blocked the daemon for"),
        ("lock", "", "Timeout (0:00:0"),  # not even the watchdog runs: a C thread sees to it
    ],
)
def test_a_process_that_stays_blocked_ends_when_it_is_told_to_and_the_next_one_runs_everything(
    new_site, how, limit, said
):
    site = new_site(ZTASKD_EXIT_WHEN_BLOCKED=0.5)
    daemon = site.start()
    others = site.call("show([long.async_(60, first=True).id for n in range(3)])")
    wait_for(lambda: len(site.ledger) == 3, "them to run")
    culprit = site.call(f"{HOGS}show(hang_first{limit}.async_({how!r}).id)")
    assert daemon.wait() == 1
    assert said in daemon.log
    assert "hogs.py" in daemon.log
    site.start()
    for task_id in (*others, culprit):
        assert site.wait_status(task_id, "SUCCEEDED")["attempts"] == 2


def test_what_a_project_does_at_its_exit_does_not_count_as_blocked(new_site):
    site = new_site(ZTASKD_EXIT_WHEN_BLOCKED=0.5, ZTASKD_ON_LOAD=["tests.project.shop.hogs.leave_slowly"])
    daemon = site.start()
    assert daemon.stop() == 0
    assert site.ledger == [["left"]]
    assert "has blocked the daemon" not in daemon.log
    assert "Timeout" not in daemon.log


def test_sigusr1_reports_every_slot_and_child_also_while_the_daemon_is_blocked(site):
    daemon = site.start("-c", "10", "--worker-pool-size", "2")
    site.call("echo.using(pool='process').async_(1).result(20)")
    waits, child = site.call(f"{HOGS}show([long.async_(60).id, hash_on.using(pool='process').async_(60).id])")
    wait_for(lambda: len(site.ledger) == 2, "them to run")
    daemon.signal(signal.SIGUSR1)
    daemon.says("SIGUSR1: that is all")
    first = daemon.log
    assert re.search(
        rf"a slot: task {waits} \S*long \(attempt 1\), for \d.*\n    tests/project/shop/tasks.py:\d+ in",
        first,
    )
    assert re.search(
        rf"worker-\d \(pid \d+\): task {child} .*\n    tests/project/shop/hogs.py:\d+ in hash_on\n", first
    )
    assert "the hub turns" in first

    blocks = site.call(f"{HOGS}show(hash_on.async_(3).id)")
    wait_for(lambda: ["began", blocks] in site.ledger, "it to block")
    daemon.says(f"task {blocks} tests.project.shop.hogs.hash_on has blocked")
    daemon.signal(signal.SIGUSR1)
    wait_for(lambda: daemon.log.count("SIGUSR1: that is all") == 2, "the second report")
    second = daemon.log.removeprefix(first)
    assert f"{blocks} tests.project.shop.hogs.hash_on succeeded" not in second, "it was written meanwhile"
    assert "the hub has not turned for" in second
    assert re.search(
        rf"a slot: task {blocks} .*, running now\n    tests/project/shop/hogs.py:\d+ in hash_on\n", second
    )
    assert re.search(
        rf"a slot: task {waits} .*\n    tests/project/shop/tasks.py:\d+ in long\n    gevent/", second
    )
    site.wait_status(blocks, "SUCCEEDED")


def test_sigusr1_tells_where_a_coroutine_waits(site):
    daemon = site.start()
    waits = site.call(f"{HOGS}show(wait_in_a_coroutine.async_(60).id)")
    wait_for(lambda: len(site.ledger) == 1, "it to run")
    daemon.signal(signal.SIGUSR1)
    daemon.says("SIGUSR1: that is all")
    entry = rf"a slot: task {waits} .*\n    tests/project/shop/hogs.py:\d+ in wait_in_a_coroutine\n"
    assert re.search(entry, daemon.log)


def test_sigusr1_names_children_that_are_idle(site):
    daemon = site.start("--worker-pool-size", "1")
    site.call("echo.using(pool='process').async_(1).result(20)")
    daemon.signal(signal.SIGUSR1)
    assert re.search(r"worker-1 \(pid \d+\): idle after 1 task\(s\)", daemon.says("worker-1 (pid"))
    assert site.call("show(echo.using(pool='process').async_(2).result(20))") == 2
    assert "is gone" not in daemon.log


def test_sigusr1_ends_nothing_before_the_daemon_is_ready_nor_while_it_stops(site):
    daemon = site.start(ready=False)
    wait_for(lambda: catches(daemon, signal.SIGUSR1), "Python to have started")

    def ready():
        daemon.signal(signal.SIGUSR1)
        return " ready in " in daemon.log

    wait_for(ready, "it to be ready")
    suspects = "from tests.project.shop.suspects import *\n"
    task_id = site.call(f"{suspects}show(innocent.async_('last', {str(site.gate)!r}).id)")
    site.wait_status(task_id, "RUNNING")
    daemon.signal(signal.SIGTERM)
    daemon.says("stopping: 1 task(s) run")
    for _ in range(20):
        daemon.signal(signal.SIGUSR1)
    site.gate.touch()

    def gone():
        if daemon.process.poll() is None:
            daemon.signal(signal.SIGUSR1)
        return daemon.process.poll() is not None

    wait_for(gone, "it to be gone")
    assert daemon.wait() == 0
    assert site.task(task_id)["status"] == "SUCCEEDED"


def catches(daemon, number):
    [mask] = re.findall(r"SigCgt:\s*(\w+)", Path(f"/proc/{daemon.pid}/status").read_text())
    return int(mask, 16) >> (number - 1) & 1
