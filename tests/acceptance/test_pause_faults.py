"""Deaths in the midst of a pause: no row stays aside for ever, and none of a paused queue starts."""

import signal

import pytest

from tests.acceptance.daemon import wait_for
from tests.acceptance.test_pause import calls, pause, resume, starts, ztaskd

pytestmark = [pytest.mark.acceptance, pytest.mark.faults]

KILLED = -9


def test_a_pause_whose_command_died_before_it_told_anybody_is_seen_at_the_next_round(site):
    daemon = site.start()
    dead, _ = site.command("pause", "--queue", "mail", env=site.env(ZTASKD_CRASH_AT="pause-committed"))
    assert dead == KILLED
    daemon.says("queue mail is paused")
    [mail], [stock] = calls(site, "mail", 1), calls(site, "stock", 1)
    site.wait_status(stock, "SUCCEEDED")
    assert site.task(mail)["status"] == "QUEUED"
    assert starts(site, "mail") == []


@pytest.mark.both_databases
@pytest.mark.parametrize("point", ["aside-uncommitted", "back-uncommitted"])
def test_a_daemon_that_dies_while_it_puts_rows_aside_or_back_leaves_none_there(site, point):
    calls(site, "mail", 600)
    if point == "aside-uncommitted":
        pause(site, "--queue", "mail")
    else:  # (as a node leaves them that has put them aside, when their pause is over)
        site.sql("UPDATE django_ztask_task SET pool = 'paused-999'")
    doomed = site.start("-c", "1", ready=False, ZTASKD_CRASH_AT=f"{point}:2")
    assert doomed.wait() == KILLED, doomed.log
    if point == "aside-uncommitted":
        assert site.count(pool="") == 100
    daemon = site.start("-c", "1")
    if point == "aside-uncommitted":
        wait_for(lambda: site.count(pool="") == 0, "all to be put aside")
        assert starts(site, "mail") == []
        resume(site, "--queue", "mail")
    site.wait_count(600, status="SUCCEEDED")
    assert set(site.sql("SELECT DISTINCT pool FROM django_ztask_task")) <= {"", "suspect"}
    assert len(set(site.marks())) == 600
    assert daemon.stop() == 0


def test_a_node_that_was_killed_is_not_waited_for(site):
    daemon = site.start()
    daemon.kill9()
    assert site.sql("SELECT count(*) FROM django_ztask_node") == [1], "its lease runs"
    assert "no daemon runs" in ztaskd(site, "pause", "--queue", "mail")


def test_a_node_that_was_stopped_for_longer_than_its_lease_is_named(new_site):
    """It still has what it had claimed: nobody else may say that no daemon runs."""
    site = new_site(ZTASKD_LEASE=1)
    daemon = site.start()
    daemon.signal(signal.SIGSTOP)
    ended = "SELECT lease < (julianday('now') - 2440587.5) * 86400.0 FROM django_ztask_node"
    wait_for(lambda: site.sql(ended) == [1], "the end of its lease")
    said = pause(site, "--queue", "mail")
    assert (said["told"], len(said["silent"])) == ([], 1)
    assert f"pid {daemon.pid} " in said["silent"][0]
    daemon.signal(signal.SIGCONT)
    assert len(resume(site, "--queue", "mail")[0]["told"]) == 1
