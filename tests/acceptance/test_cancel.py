"""cancel(): what waits never starts, what runs is told to end, and nothing that was cancelled runs again, whatever
happens to the daemon.
"""

import re

import pytest

from tests.acceptance.daemon import wait_for

pytestmark = [pytest.mark.acceptance, pytest.mark.both_databases]

HERE, THERE = (), ("--multiprocess", "--worker-pool-size", "1")


def running(site, code):
    """The id of a task that is running now."""
    task_id = site.call(f"show({code}.id)")
    wait_for(lambda: ["began", task_id] in site.ledger, "the task's first line")
    return task_id


def cancel(site, task_id):
    """What another process is told that knows the id alone."""
    return site.call(f"handle = TaskHandle({task_id!r}); show([handle.cancel(), handle.status])")


@pytest.mark.parametrize("options", [HERE, THERE], ids=["slot", "child"])
def test_a_running_task_is_told_may_clean_up_and_is_cancelled(site, options):
    daemon = site.start(*options)
    before = site.call("show(pid.async_().result(20))")
    task_id = running(site, "long.async_(60)")
    assert cancel(site, task_id) == [True, "RUNNING"]
    row = site.wait_status(task_id, "CANCELLED")
    assert ["cleaned", task_id, "TaskCancelled"] in site.ledger
    assert (row["attempts"], row["failures"], row["interruptions"], row["crashes"]) == (1, 0, 0, 0)
    assert (row["retry_count"], row["failed"], row["last_exception"]) == (2, None, None)
    assert row["finished"] is not None
    assert site.sql("SELECT kind FROM django_ztask_attempt") == ["cancelled"]
    line = daemon.says("was cancelled after")
    assert re.search(
        rf"ztaskd INFO task {task_id} \S+\.long was cancelled after \d+\.\d+ s \(attempt 1\)", line
    )
    assert cancel(site, task_id) == [True, "CANCELLED"]
    assert site.call("show(pid.async_().result(20))") == before, "its place, and its child, go on"
    assert daemon.stop() == 0
    assert not re.search("ERROR|WARNING", daemon.log)


def test_a_child_that_does_not_end_is_killed(site):
    daemon = site.start(*THERE)
    before = site.call("show(pid.async_().result(20))")
    for task in ("stubborn.async_(60)", "hog.async_(60)"):
        task_id = running(site, task)
        assert cancel(site, task_id) == [True, "RUNNING"]
        site.wait_status(task_id, "CANCELLED")
    assert site.call("show(pid.async_().result(20))") != before
    exceptions = site.sql("SELECT exception FROM django_ztask_attempt ORDER BY id")
    assert "its process was killed" in exceptions[0]
    assert daemon.stop() == 0


def test_a_task_that_was_claimed_and_waits_for_a_place_is_cancelled_at_once(site):
    """Short tasks are claimed ahead: some of those behind the long one are in the node already."""
    daemon = site.start("-c", "1")
    blocker, after = site.call("""
        mark.map(range(300))
        blocker = long.async_(120)
        show([blocker.id, [handle.id for handle in mark.map(range(1000, 1100))]])
    """)
    wait_for(lambda: ["began", blocker] in site.ledger, "the long one to begin")
    said = site.call(f"""
        handles = [TaskHandle(id) for id in {after!r}]
        show([[handle.cancel(), handle.status] for handle in handles])
    """)
    assert all(answer for answer, _ in said)
    site.wait_count(100, status="CANCELLED")
    assert site.count(status="RUNNING") == 1
    claimed = [status for _, status in said].count("RUNNING")
    wait_for(lambda: daemon.log.count("was cancelled before it started") == claimed, "a line for each")
    assert cancel(site, blocker) == [True, "RUNNING"]
    site.wait_status(blocker, "CANCELLED")
    assert sorted(map(int, site.marks())) == list(range(300))
    assert daemon.stop() == 0


@pytest.mark.parametrize("options", [HERE, THERE], ids=["slot", "child"])
def test_a_daemon_that_is_killed_after_the_request_does_not_run_it_again(site, options):
    daemon = site.start(*options)
    task_id = running(site, "stubborn.async_(120)")
    cancel(site, task_id)
    daemon.kill9()
    assert site.task(task_id)["status"] == "RUNNING"
    daemon = site.start(*options)
    site.wait_status(task_id, "CANCELLED")
    assert re.search(r" INFO task .* was cancelled: nobody runs it any more", daemon.says("was cancelled"))
    site.call("mark.async_('later').result(20)")
    assert [line[0] for line in site.ledger].count("began") == 1
    assert daemon.stop() == 0


def test_a_stop_that_comes_after_the_request_does_not_hand_it_back(site):
    daemon = site.start("--grace", "0")
    task_id = running(site, "stubborn.async_(120)")
    cancel(site, task_id)
    wait_for(lambda: ["swallowed"] in site.ledger, "it to swallow the first word")
    assert daemon.stop() == 0
    assert site.task(task_id)["status"] == "CANCELLED"
    daemon.says("it was cancelled, and does not run again")


@pytest.mark.parametrize("options", [("-c", "1"), THERE], ids=["slot", "child"])
def test_a_task_that_is_cancelled_in_the_midst_of_a_query_leaves_the_next_one_a_connection(
    site, options, vendor
):
    if vendor == "sqlite":
        pytest.skip("its queries are over before anybody can cancel them")
    site.settings["DATABASES"]["default"]["CONN_MAX_AGE"] = None  # (they would be closed anyway)
    daemon = site.start(*options)
    site.call("order.async_(1).result(20)")
    task_id = site.call("show(pg_sleep.async_(60).id)")
    query = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(%' AND state = 'active' AND pid <> pg_backend_pid()"
    wait_for(lambda: site.sql(query) == [1], "the query to be under way")
    cancel(site, task_id)
    site.wait_status(task_id, "CANCELLED")
    for number in (2, 3):
        row = site.wait_status(site.call(f"show(order.async_({number}).id)"), "SUCCEEDED")
        assert (row["attempts"], row["failures"]) == (1, 0)
    assert daemon.stop() == 0


def test_an_at_most_once_task_is_cancelled_like_any_other(site):
    daemon = site.start()
    task_id = running(site, "long.using(at_most_once=True).async_(60)")
    cancel(site, task_id)
    site.wait_status(task_id, "CANCELLED")
    assert daemon.stop() == 0
    assert "ERROR" not in daemon.log


@pytest.mark.parametrize("options", [HERE, THERE], ids=["slot", "child"])
def test_a_task_cancels_another_one(site, options):
    daemon = site.start(*options, "--worker-pool-size", "2")
    task_id = running(site, "long.async_(60)")
    assert site.call(f"show(cancel.async_({task_id!r}).result(20))") is True
    site.wait_status(task_id, "CANCELLED")
    assert daemon.stop() == 0


def test_a_request_without_a_message_is_found(site):
    """(In a manual transaction nobody can tell when it commits.)"""
    daemon = site.start()
    task_id = running(site, "long.async_(60)")
    site.call(f"""
        from django.db import transaction
        transaction.set_autocommit(False)
        TaskHandle({task_id!r}).cancel()
        transaction.commit()
    """)
    site.wait_status(task_id, "CANCELLED")
    assert daemon.stop() == 0


def test_a_message_without_a_request_changes_nothing(site):
    daemon = site.start()
    task_id = site.call(f"show(gated.async_('gated', {str(site.gate)!r}).id)")
    site.wait_status(task_id, "RUNNING")
    other = running(site, "long.async_(60)")
    site.call(f"""
        from django_ztask import transport
        for ids in ([{task_id!r}], [], ["nobody", "\\0"], [{task_id!r}] * 2000):
            transport.send_cancels(ids)
        TaskHandle({other!r}).cancel()
    """)
    site.wait_status(other, "CANCELLED")
    site.gate.touch()
    site.wait_status(task_id, "SUCCEEDED")
    assert site.marks() == ["gated"]
    assert daemon.stop() == 0


@pytest.mark.parametrize("options", [("-c", "4"), ("--multiprocess", "--worker-pool-size", "2")])
def test_of_a_thousand_that_are_cancelled_while_they_run_each_has_one_end(site, options):
    daemon = site.start(*options)
    said = site.call("""
        handles = mark.map(range(1000))
        show([[handle.id, handle.cancel(), handle.status] for handle in reversed(handles)])
    """)
    wait_for(lambda: site.count(status="SUCCEEDED") + site.count(status="CANCELLED") == 1000, "all to end")
    states = dict(site.sql("SELECT uuid, status FROM django_ztask_task"))
    words = {task_id: str(999 - n) for n, (task_id, _, _) in enumerate(said)}
    ran = site.marks()
    assert len(ran) == len(set(ran)), "none twice"
    for task_id, answer, status in said:
        if status == "CANCELLED":
            assert (answer, states[task_id]) == (True, "CANCELLED")
            assert words[task_id] not in ran, "it ran although it was cancelled"
        elif not answer:
            assert states[task_id] == status == "SUCCEEDED"
        if states[task_id] == "SUCCEEDED":
            assert words[task_id] in ran
    assert {status for _, _, status in said} >= {"CANCELLED", "SUCCEEDED"}, "else it was no race"
    assert site.sql("SELECT DISTINCT kind FROM django_ztask_attempt") in ([], ["cancelled"])
    assert daemon.stop() == 0
