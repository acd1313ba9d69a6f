"""What tasks do inside the daemon: threads, forks, coroutines, programs; and hands that reach into the rows."""

import os
import signal

import pytest

from tests.acceptance.daemon import free_port, wait_for

pytestmark = pytest.mark.acceptance


def test_tasks_enqueued_from_anywhere_in_the_daemon_run_soon_and_once(site):
    ways = ["thread", "native-thread", "coroutine", "transaction", "savepoint"]
    site.start()
    site.call(f"for way in {ways}: enqueue_from.async_(way, 5).result(20)")
    expected = {f"{way}-{n}" for way in ways for n in range(5)}
    assert set(site.wait_marks(25)) == expected
    site.wait_count(30, status="SUCCEEDED", failures=0)
    assert site.count() == 30
    waits = site.sql("""SELECT (julianday(started) - julianday(created)) * 86400 FROM django_ztask_task
                        WHERE function_name LIKE '%.mark'""")
    assert sorted(waits)[12] < 0.3, waits


def test_an_event_loop_in_one_task_does_not_disturb_the_others(site):
    site.start()
    loops = site.call("""
        loops = [runs_event_loop.async_(n, 0.5) for n in range(3)]
        orders = [order_slowly.async_(n, 0.05) for n in range(5)]
        for handle in orders:
            handle.result(20)
        show([handle.result(20) for handle in loops])
    """)
    assert loops == [0, 1, 2]
    assert sorted(site.sql("SELECT number FROM shop_order")) == [0, 0, 1, 1, 2, 2, 3, 4]
    assert site.count(status="SUCCEEDED", attempts=1) == 8


def test_a_forked_child_of_a_task_does_its_work_and_the_daemon_goes_on(site):
    daemon = site.start()
    codes = site.call(
        "show([forks.async_('multiprocessing').result(20), forks.async_('os.fork').result(20)])"
    )
    assert codes == [0, 0]
    assert sorted(line[1] for line in site.ledger if line[0] == "child") == ["multiprocessing", "os.fork"]
    assert site.call("show([add.async_(n, 1).result(20) for n in range(5)])") == [1, 2, 3, 4, 5]
    assert site.count(status="SUCCEEDED", attempts=1) == 7
    numbers = [signal.SIGTERM, signal.SIGQUIT, signal.SIGUSR1]
    ends = site.call(f"show([forks_one_that_stays.async_(n).result(20) for n in {[*map(int, numbers)]}])")
    assert ends == [-number for number in numbers]
    assert daemon.stop() == 0


def test_a_program_that_a_task_left_behind_does_not_hold_the_daemons_locks(new_site):
    site = new_site(ZTASKD_URL=f"tcp://127.0.0.1:{free_port()}")
    pidfile = str(site.folder / "pid")
    daemon = site.start("--pidfile", pidfile)
    left = site.call("show(leaves_program.async_().result(20))")
    try:
        os.kill(daemon.pid, signal.SIGKILL)
        daemon.wait()
        os.kill(left, 0)  # it is there
        site.start("--pidfile", pidfile)
        assert site.call("show(add.async_(1, 1).result(20))") == 2
    finally:
        os.kill(left, signal.SIGKILL)


def test_a_row_deleted_under_a_running_task_is_said_and_harms_nobody(site):
    daemon = site.start()
    task_id = site.call(f"show(gated.async_('deleted', {str(site.gate)!r}).id)")
    site.wait_status(task_id, "RUNNING")
    site.sql("DELETE FROM django_ztask_task WHERE uuid = ?", task_id)
    site.gate.touch()
    site.wait_marks(1)
    assert "its outcome is dropped" in daemon.says(f"{task_id} tests.project.shop.trouble.gated was taken")
    assert site.call("show(add.async_(1, 1).result(20))") == 2


def test_a_running_task_that_somebody_queued_again_is_adopted_and_not_started_twice(site):
    site.start()
    task_id = site.call(f"show(gated.async_('adopted', {str(site.gate)!r}).id)")
    site.wait_status(task_id, "RUNNING")
    site.sql("UPDATE django_ztask_task SET status = 'QUEUED', node = NULL WHERE uuid = ?", task_id)
    site.call(f"from django_ztask import transport; transport.send([{task_id!r}], None)")
    wait_for(lambda: site.task(task_id)["attempts"] == 2, "a new claim")
    site.gate.touch()
    row = site.wait_status(task_id, "SUCCEEDED")
    assert (row["attempts"], row["failures"]) == (2, 0)
    assert site.marks() == ["adopted"]


def test_after_a_change_of_the_secret_key_old_tasks_run_with_the_old_one_as_fallback(site):
    keys = {"SECRET_KEY": "new", "SECRET_KEY_FALLBACKS": ["only for tests"]}
    first, second = site.call("show([mark.async_('first').id, mark.async_('second').id])")
    site.settings["SECRET_KEY"] = "new"
    daemon = site.start()
    for task_id in (first, second):
        assert "SECRET_KEY" in site.wait_status(task_id, "FAILED")["last_exception"]
    assert site.marks() == []
    assert daemon.stop() == 0
    site.settings.update(keys)
    site.start("--replayfailed", "-c", "1")
    assert site.wait_marks(2) == ["first", "second"]


def test_a_pickled_call_is_refused_where_pickle_is_switched_off(site):
    task_id = site.call("show(echo.async_({1, 2}).id)")
    site.settings["ZTASKD_PICKLE"] = False
    site.start()
    row = site.wait_status(task_id, "FAILED")
    assert "ZTASKD_PICKLE" in row["last_exception"]
    assert site.call("show(echo.async_([1, 2]).result(20))") == [1, 2]


def test_a_site_without_time_zones_works_too(new_site):
    site = new_site(USE_TZ=False, TIME_ZONE="Asia/Kolkata")
    daemon = site.start()
    failed = site.call("mark.after(0.3, 'later').result(20); show(fail.async_('no').id)")
    site.wait_status(failed, "FAILED")
    assert daemon.stop() == 0
    site.start("--replayfailed")
    wait_for(lambda: site.task(failed)["attempts"] == 4, "its second chance")


def test_threads_hand_pythons_lock_over_soon_unless_the_project_wants_it_otherwise(new_site):
    """The journal's thread needs it a dozen times for each batch."""
    for settings, interval in (
        ({}, 0.001),
        ({"ZTASKD_ON_LOAD": ["tests.project.shop.litter.switch_rarely"]}, 0.25),
    ):
        site = new_site(**settings)
        daemon = site.start()
        found = site.call(
            "from tests.project.shop.litter import *; show(switch_interval.async_().result(20))"
        )
        assert found == pytest.approx(interval)
        assert daemon.stop() == 0
