"""TERM and INT: what runs is finished or handed back at no cost, and runs at the next start."""

import os
import signal
import time

import pytest

from tests.acceptance.daemon import MANAGE, wait_for

pytestmark = pytest.mark.acceptance
PROGRAM = MANAGE  # as most projects start it

SIGNALS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])


def running(site, code):
    """The id of a task that is running now."""
    task_id = site.call(f"show({code}.id)")
    wait_for(lambda: ["began", task_id] in site.ledger, "the task's first line")
    return task_id


@SIGNALS
def test_a_running_task_is_finished_and_the_exit_is_clean(site, number):
    daemon = site.start()
    task_id = running(site, "long.async_(0.5)")
    assert daemon.stop(number) == 0
    row = site.task(task_id)
    assert (row["status"], row["attempts"], row["interruptions"]) == ("SUCCEEDED", 1, 0)
    assert "stopped" in daemon.log.splitlines()[-1]
    assert site.sql("SELECT count(*) FROM django_ztask_node") == [0]


@SIGNALS
def test_an_idle_daemon_stops_promptly(site, number):
    daemon = site.start()
    site.call("add.async_(1, 1).result(20)")
    began = time.monotonic()
    assert daemon.stop(number) == 0
    assert time.monotonic() - began < 1


@SIGNALS
def test_a_task_that_runs_longer_than_the_grace_is_interrupted_at_no_cost_and_runs_again(site, number):
    daemon = site.start("--grace", "0.2")
    task_id = running(site, "long.async_(30, first=True)")
    began = time.monotonic()
    assert daemon.stop(number) == 0
    assert time.monotonic() - began < 5
    row = site.task(task_id)
    assert (row["status"], row["interruptions"], row["failures"], row["retry_count"]) == ("QUEUED", 1, 0, 2)
    assert ["cleaned", task_id, "TaskInterrupted"] in site.ledger
    assert site.sql("SELECT kind FROM django_ztask_attempt") == ["interrupted"]
    assert "was interrupted" in daemon.log
    site.start()
    row = site.wait_status(task_id, "SUCCEEDED")
    assert (row["attempts"], row["failures"]) == (2, 0)


def test_the_grace_comes_from_the_settings_when_it_is_not_given(new_site):
    site = new_site(ZTASKD_GRACE=0)
    daemon = site.start()
    task_id = running(site, "long.async_(30)")
    assert daemon.stop(seconds=10) == 0
    assert site.task(task_id)["interruptions"] == 1


def test_a_task_that_swallows_its_interruption_is_handed_back_and_the_daemon_ends(site):
    daemon = site.start("--grace", "0.1")
    task_id = running(site, "stubborn.async_(20)")
    assert daemon.stop(seconds=15) == 0
    row = site.task(task_id)
    assert (row["status"], row["failures"]) == ("QUEUED", 0)
    assert "goes on although it was interrupted" in daemon.log


def test_a_second_signal_ends_it_at_once_and_the_task_is_recovered(site):
    daemon = site.start()
    task_id = running(site, "long.async_(30, first=True)")
    daemon.signal(signal.SIGTERM)
    daemon.says("stopping: 1 task")
    time.sleep(0.3)  # two signals within 0.1 s are one
    began = time.monotonic()
    assert daemon.stop() == 1
    assert time.monotonic() - began < 2
    assert site.task(task_id)["status"] == "RUNNING"
    daemon = site.start()
    daemon.says("recovered 1 task")
    row = site.wait_status(task_id, "SUCCEEDED")
    assert (row["attempts"], row["failures"], row["interruptions"]) == (2, 0, 0)


def test_a_second_signal_ends_it_at_once_even_while_a_task_hogs_the_processor(site):
    daemon = site.start()
    running(site, "hog.async_(20)")
    daemon.signal(signal.SIGTERM)
    time.sleep(0.3)  # two signals within 0.1 s are one
    assert daemon.stop(seconds=10) == 1


def test_one_request_that_arrives_twice_at_once_still_drains(site):
    """A supervisor signals the process group, and a parent passes the signal on."""
    daemon = site.start()
    task_id = running(site, "long.async_(0.5)")
    os.kill(daemon.pid, signal.SIGTERM)
    os.kill(daemon.pid, signal.SIGINT)
    assert daemon.wait() == 0
    assert site.task(task_id)["status"] == "SUCCEEDED"


def test_what_was_claimed_and_waits_for_a_slot_is_handed_back(site):
    daemon = site.start("-c", "1")
    site.call("""
        from django.db import transaction
        with transaction.atomic():
            for n in range(100):
                mark.async_(f"before-{n}")
            long.async_(3)
            for n in range(50):
                mark.async_(f"after-{n}")
    """)
    wait_for(lambda: any(line[0] == "began" for line in site.ledger), "the long task")
    assert daemon.stop() == 0
    assert site.count(status="RUNNING") == 0
    assert site.count(status="SUCCEEDED") == 101
    assert site.count(status="QUEUED", failures=0, interruptions=0, retry_count=2) == 50
    site.start("-c", "1")
    expected = [f"before-{n}" for n in range(100)] + [f"after-{n}" for n in range(50)]
    assert site.wait_marks(150) == expected
    site.wait_count(151, status="SUCCEEDED", failures=0)


def test_stopped_and_started_under_load_each_task_runs_exactly_once(site):
    daemon = site.start()
    clients = site.spawn("""
        for n in range(600):
            mark.async_(f"m{n}", 0.02)
    """)
    for turn in (1, 2):
        wait_for(lambda turn=turn: len(site.marks()) >= turn * 150, "the next 150 tasks")
        assert daemon.stop() == 0
        assert site.count(status="RUNNING") == 0
        daemon = site.start()
    assert clients.wait(60) == 0, clients.text
    site.wait_count(600, status="SUCCEEDED", failures=0, interruptions=0)
    assert len(site.marks()) == len(set(site.marks())) == 600


def test_the_row_of_a_task_that_failed_while_the_node_drains_keeps_its_retries(site):
    daemon = site.start()
    task_id = running(site, "long.async_(1.5, first=True, fails=True)")
    assert daemon.stop() == 0
    row = site.task(task_id)
    assert (row["status"], row["failures"], row["retry_count"]) == ("QUEUED", 1, 1)
    site.start()
    row = site.wait_status(task_id, "FAILED")
    assert row["failures"] == 3


def test_threads_that_a_task_leaves_behind_do_not_keep_the_daemon(site):
    daemon = site.start("--grace", "0.2")
    task_id = site.call("show(wait_in_a_pool.async_(25).id)")
    site.wait_status(task_id, "RUNNING")
    began = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - began < 15  # 0.2 s of grace, and 2 s for its own cleaning up
    assert site.task(task_id)["status"] in ("QUEUED", "RUNNING")
    again = site.start()
    site.wait_status(task_id, "RUNNING")
    again.kill9()
