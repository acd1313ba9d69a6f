"""@task(at_most_once=True): whatever ends it, it is not started a second time."""

import pytest

from tests.acceptance.daemon import wait_for

pytestmark = [pytest.mark.acceptance, pytest.mark.both_databases]

ONCE = "long.using(at_most_once=True)"


def started(site, task_id):
    wait_for(lambda: ["began", task_id] in site.ledger, "the task's first line")


def test_what_ran_when_the_node_was_killed_is_failed_and_what_had_not_started_runs(site):
    daemon = site.start("-c", "1")
    running, waiting = site.call(f"show([{ONCE}.async_(60).id, {ONCE}.async_(0).id])")
    started(site, running)
    assert site.task(running)["status"] == "RUNNING"
    assert site.task(running)["started"] is not None, "it was marked before it ran"
    daemon.kill9()
    daemon = site.start("--replayfailed")
    site.wait_status(waiting, "SUCCEEDED")
    row = site.wait_status(running, "FAILED")
    assert (row["attempts"], row["failures"], row["interruptions"]) == (1, 0, 1)
    assert "at_most_once" in row["last_exception"]
    assert site.ledger.count(["began", running]) == 1
    assert "nobody knows how far it got" in daemon.says(running)
    assert daemon.stop() == 0
    daemon = site.start("--replayfailed")
    daemon.says("1 at_most_once task(s) that had started stay FAILED")
    assert site.task(running)["status"] == "FAILED"


@pytest.mark.parametrize("task", ["long", "stubborn"])
def test_an_interrupted_one_is_failed(site, task):
    daemon = site.start("--grace", "0.1")
    task_id = site.call(f"show({task}.using(at_most_once=True).async_(60).id)")
    started(site, task_id)
    assert daemon.stop() == 0
    row = site.task(task_id)
    assert (row["status"], row["attempts"], row["interruptions"]) == ("FAILED", 1, 1)
    assert "stays FAILED" in daemon.log


def test_one_that_raises_is_not_retried(site):
    daemon = site.start()
    task_id = site.call("show(fail.using(at_most_once=True, retry_count=None).async_().id)")
    row = site.wait_status(task_id, "FAILED")
    assert (row["attempts"], row["failures"]) == (1, 1)
    assert "stays FAILED" in daemon.says("at_most_once")
    assert daemon.stop() == 0
