"""The reloader's processes: who ends whom, who is started again, and what signals do."""

import os
import signal
import sqlite3
import time
from contextlib import closing

import pytest

from tests.acceptance.daemon import MODULE, wait_for
from tests.acceptance.edited import is_gone

pytestmark = pytest.mark.acceptance


def test_a_daemon_that_dies_while_it_takes_over_is_followed_by_one_that_serves(edited):
    """It ends itself as soon as the node's lock is its own."""
    edited.site.settings["ZTASKD_NODE"] = "shop"
    lock = edited.site.folder / "db.sqlite3-ztaskd" / "node-shop.lock"
    deadly = f"""
    import gevent
    def seated():
        try:
            return open({str(lock)!r}).read() == f"pid {{os.getpid()}}"
        except OSError:
            return False
    def die():
        try:
            os.close(os.open({str(edited.folder / "once")!r}, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
        while not seated():
            gevent.sleep(0.0001)
        os._exit(9)
    gevent.spawn(die)
"""
    daemon = edited.start()
    edited.write("2", on_load=deadly.strip())
    daemon.says("it ended with code 9")
    assert edited.version() == "2"
    assert daemon.stop() == 0


def test_a_task_that_keeps_the_hub_for_itself_does_not_keep_its_old_code_alive(edited):
    edited.write("1", extra="\n@task()\ndef spin():\n    note('spins', VERSION)\n    while True: pass\n")
    daemon = edited.start("--reload-grace", "0.3")
    edited.call("spin.async_(); show(1)")
    edited.wait_line("spins", "1")
    edited.write("2", extra="\n@task()\ndef spin():\n    note('spins', VERSION)\n")
    daemon.says("does not let go of what it runs: killed")
    edited.wait_line("spins", "2")
    assert edited.version() == "2"


def test_a_daemon_that_is_killed_is_started_again(edited):
    daemon = edited.start()
    task_id = edited.call("show(work.async_('long', 1).id)")
    edited.wait_line("began", "long")
    os.kill(edited.serving(), signal.SIGKILL)
    assert "SIGKILL" in daemon.says("is gone, and is started again")
    edited.wait_boots(2)
    assert edited.site.wait_status(task_id, "SUCCEEDED")["failures"] == 0
    assert daemon.stop() == 0


def test_a_parent_that_is_killed_takes_its_daemons_along(edited):
    daemon = edited.start("--reload-grace", "60")
    edited.call(f"[compute.async_(n, {edited.gate}) for n in range(2)]; work.async_('old', 60); show(1)")
    pids = {int(edited.wait_line("began", number)[2]) for number in ("0", "1", "old")}
    edited.write("2")
    edited.wait_boots(2)  # (the old one finishes what it runs)
    pids.add(edited.serving())
    assert len(pids) == 4
    os.kill(daemon.pid, signal.SIGKILL)
    wait_for(lambda: all(map(is_gone, pids)), "the end of all of them")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_is_clean_and_lets_running_tasks_end(edited, number):
    daemon = edited.start()
    task_id = edited.call("show(work.async_('short', 0.7).id)")
    edited.wait_line("began", "short")
    assert daemon.stop(number) == 0
    assert edited.site.task(task_id)["status"] == "SUCCEEDED"
    assert edited.site.sql("SELECT count(*) FROM django_ztask_node") == [0]


def test_a_second_signal_stops_at_once(edited):
    daemon = edited.start()
    edited.call("work.async_('long', 60); show(1)")
    edited.wait_line("began", "long")
    daemon.signal(signal.SIGTERM)
    daemon.says("stopping: 1 task(s) run")
    time.sleep(0.3)  # two signals within 0.1 s are one
    assert daemon.stop(seconds=10) == 1
    wait_for(lambda: is_gone(edited.serving()), "the daemon's end")


def test_a_daemon_stopped_by_its_own_process_id_stops_all(edited):
    daemon = edited.start()
    os.kill(edited.serving(), signal.SIGTERM)
    assert daemon.wait() == 0


def test_a_stop_by_the_daemons_own_process_id_is_not_undone_by_an_edit(edited):
    daemon = edited.start("--grace", "60", "--reload-grace", "0.2")
    task_id = edited.call(f"show(gated.async_('long', {edited.gate}).id)")
    edited.wait_line("began", "long")
    os.kill(edited.serving(), signal.SIGTERM)
    daemon.says("was stopped: so the whole of it stops")
    edited.write("2")
    daemon.signal(signal.SIGHUP)  # asks as a seen edit does, and is heard of in the log
    daemon.says("HUP: reloading")
    edited.open_gate()
    assert daemon.wait() == 0
    assert edited.site.task(task_id)["status"] == "SUCCEEDED"
    assert daemon.log.count(" ready in ") == 1


def test_a_task_that_ends_the_daemon_with_code_0_does_not_stop_the_whole(edited):
    edited.write(
        "1", extra="\n@task()\ndef leave():\n    if current_task().attempt == 1:\n        os._exit(0)\n"
    )
    daemon = edited.start()
    task_id = edited.call("show(leave.async_().id)")
    edited.wait_boots(2)
    edited.site.wait_status(task_id, "SUCCEEDED")
    assert daemon.stop() == 0


@pytest.mark.parametrize("whom", ["the parent", "the daemon"])
def test_hup_reloads_without_an_edit(edited, whom):
    daemon = edited.start()
    pid = edited.serving()
    os.kill(daemon.pid if whom == "the parent" else pid, signal.SIGHUP)
    edited.wait_boots(2)
    assert edited.serving() != pid
    wait_for(lambda: is_gone(pid), "the old daemon's end")
    assert daemon.stop() == 0


def test_what_no_edit_mends_ends_the_first_start_with_its_exit_code(edited):
    site = edited.site
    site.settings |= {"ZTASKD_IMPORTS": [], "ZTASKD_ON_LOAD": []}
    site.start()
    code, text = site.command()
    assert code == 3, text
    assert "runs already" in text
    code, text = site.command("--pidfile", "/no/such/folder/pid")
    assert code == 4, text
    code, text = site.command("-f", "/no/such/folder/log")
    assert code == 2, text
    code, text = site.command("--settings", "no.such.settings", program=MODULE[:3])
    assert (code, "no.such.settings" in text) == (2, True), text
    with closing(sqlite3.connect(site.database)) as journal, journal:
        journal.execute("DROP TABLE django_ztask_attempt")
    code, text = site.command()
    assert (code, "migrate" in text) == (5, True), text


def test_the_pidfile_names_the_parent(edited):
    path = edited.site.folder / "pid"
    daemon = edited.start("--pidfile", str(path))
    edited.write("2")
    edited.wait_boots(2)
    assert path.read_text().strip() == str(daemon.pid)
    assert daemon.stop() == 0
    assert not path.exists()


def test_usr1_is_passed_on_to_every_daemon_that_runs_something(edited):
    daemon = edited.start("--reload-grace", "60")
    edited.call(f"compute.async_(1, {edited.gate}); work.async_('old', 60); show(1)")
    for number in ("1", "old"):
        edited.wait_line("began", number)
    edited.write("2")
    edited.wait_boots(2)  # (the old one finishes what it runs)
    daemon.signal(signal.SIGUSR1)
    wait_for(lambda: daemon.log.count("SIGUSR1: that is all") == 2, "the reports of both")
    for function in ("work", "compute"):
        assert f"edited.tasks.{function} (attempt 1)" in daemon.log
