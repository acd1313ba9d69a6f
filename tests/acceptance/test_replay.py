"""--replayfailed: every failed task gets a new chance, in the order of the calls."""

import pytest

from tests.acceptance.daemon import wait_for

pytestmark = [pytest.mark.acceptance, pytest.mark.both_databases]


def test_failed_tasks_start_again_in_the_order_of_their_calls(site):
    """They fail in another order: the first called is due last."""
    gates = [str(site.folder / f"gate-{n}") for n in range(6)]
    daemon = site.start("-c", "1")
    ids = site.call(f"""
        gates = {gates}
        ids = [fail_unless.after(0.5 - n / 10, gates[n]).id for n in range(4)]
        show(ids + [fail_unless.using(priority=n).async_(gates[n]).id for n in (4, 5)])
    """)
    site.wait_count(6, status="FAILED")
    failed = site.sql("SELECT uuid FROM django_ztask_task ORDER BY failed")
    assert failed.index(ids[0]) > failed.index(ids[3])
    assert daemon.stop() == 0
    for gate in gates:
        open(gate, "w").close()
    site.sql("UPDATE django_ztask_task SET priority = 0")
    daemon = site.start("-c", "1", "--replayfailed")
    assert "6 failed task(s) queued again" in daemon.log
    site.wait_count(6, status="SUCCEEDED")
    assert [line[1:] for line in site.ledger if line[0] == "found"] == [[gate, "2"] for gate in gates]


def test_a_replayed_task_has_its_full_retries_again(site):
    daemon = site.start()
    task_id = site.call("show(fail.async_('no').id)")  # retry_count=1
    other = site.call("show(touchy.async_('no').id)")  # ZTASKD_RETRY_COUNT=2
    site.wait_status(task_id, "FAILED")
    site.wait_status(other, "FAILED")
    assert daemon.stop() == 0
    daemon = site.start("--replayfailed")
    wait_for(lambda: site.task(task_id)["attempts"] == 4, "four attempts")
    wait_for(lambda: site.task(other)["attempts"] == 6, "six attempts")
    row = site.wait_status(task_id, "FAILED")
    assert (row["failures"], row["retry_count"]) == (4, 0)
    attempts = "SELECT attempt FROM django_ztask_attempt WHERE task_id = ? ORDER BY attempt"
    assert site.sql(attempts, task_id) == [1, 2, 3, 4]
    assert site.wait_status(other, "FAILED")["failures"] == 6


def test_without_the_flag_failed_tasks_stay_failed(site):
    daemon = site.start()
    task_id = site.call("show(fail.async_('no').id)")
    site.wait_status(task_id, "FAILED")
    assert daemon.stop() == 0
    site.start()
    site.call("mark.async_('later').result(20)")
    assert site.task(task_id)["attempts"] == 2


def test_a_failed_task_whose_function_is_gone_is_failed_again_at_once(site):
    gone, known = site.call("""
        from django_ztask.decorators import task
        gone = task(name="nowhere.tasks.gone")(lambda: None)
        show([gone.async_().id, add.async_(1).id])
    """)
    site.sql("UPDATE django_ztask_task SET status = 'FAILED', retry_count = 0")
    daemon = site.start("--replayfailed")
    site.wait_status(known, "SUCCEEDED")
    wait_for(lambda: site.task(gone)["status"] == "FAILED", "FAILED")
    assert "nowhere" in site.task(gone)["last_exception"]
    assert "nowhere.tasks.gone failed" in daemon.says("nowhere.tasks.gone")


def test_a_waiting_task_is_not_touched_by_a_replay(site):
    later, failed = site.call("show([mark.after(3600, 'later').id, add.async_(1).id])")
    site.sql("UPDATE django_ztask_task SET status = 'FAILED' WHERE uuid = ?", failed)
    before = site.task(later)
    site.start("--replayfailed")
    site.wait_status(failed, "SUCCEEDED")
    assert site.task(later) == before
