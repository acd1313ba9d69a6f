"""QUIT, a cold stop at once, and USR2, a log file that is opened anew: whoever sends them to whom, and when."""

import json
import os
import signal
import sys
import time

import pytest

from tests.acceptance.daemon import MODULE, wait_for
from tests.acceptance.edited import is_gone

pytestmark = pytest.mark.acceptance

HOGS = "from tests.project.shop.hogs import *\n"

# As a careless supervisor starts it.
DEAF = """
import os, signal, sys
numbers = [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR2]
for number in numbers:
    signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
os.execv(sys.argv[1], sys.argv[1:])
"""


def objects(daemon):
    """Each line of the log, which is JSON."""
    return [json.loads(line) for line in daemon.log.splitlines()]


def test_quit_stops_at_once_what_waits_and_what_is_in_c_code_and_it_is_recovered(site):
    pidfile = site.folder / "pid"
    daemon = site.start("--log-format", "json", "--pidfile", str(pidfile))
    task_id = site.call("show(long.async_(60, first=True).id)")
    wait_for(lambda: ["began", task_id] in site.ledger, "the task's first line")
    assert daemon.stop(signal.SIGQUIT, 10) == 1
    last = objects(daemon)[-1]
    assert last["message"] == "QUIT: stopped at once; what ran is recovered at the next start"
    assert site.task(task_id)["status"] == "RUNNING"
    assert not pidfile.exists()
    daemon = site.start("--pidfile", str(pidfile))
    daemon.says("recovered 1 task")
    assert site.wait_status(task_id, "SUCCEEDED")["crashes"] == 0
    site.call(f"{HOGS}sleep_natively.async_(60)")
    daemon.says("sleep_natively has blocked")
    began = time.monotonic()
    assert daemon.stop(signal.SIGQUIT, 20) == 1
    assert time.monotonic() - began < 10
    assert "ztaskd: QUIT: stopped at once" in daemon.log.splitlines()[-1]
    assert not pidfile.exists()


def test_usr2_opens_the_log_anew_for_lines_and_for_what_is_printed_in_slots_and_children(site):
    daemon = site.start("--worker-pool-size", "1")
    site.call("say.using(pool='process').async_('first').result(20)")
    old = daemon.path.rename(daemon.path.with_suffix(".1"))
    daemon.signal(signal.SIGUSR2)
    daemon.says("USR2: the log file was opened anew")
    before = old.read_text()
    site.call("say.async_('near').result(20); say.using(pool='process').async_('far').result(20)")
    assert [daemon.log.count(word) for word in ("near\n", "far\n")] == [2, 2]
    assert old.read_text() == before
    # What cannot be opened is said, goes on, and is mended by the next one.
    old = daemon.path.rename(daemon.path.with_suffix(".2"))
    daemon.path.mkdir()
    daemon.signal(signal.SIGUSR2)
    wait_for(lambda: "cannot be opened anew, the old one goes on" in old.read_text(), "the reason")
    site.call("say.async_('meanwhile').result(20)")
    assert old.read_text().count("meanwhile\n") == 2
    daemon.path.rmdir()
    daemon.signal(signal.SIGUSR2)
    daemon.says("USR2: the log file was opened anew")
    assert daemon.stop() == 0


def test_a_child_process_survives_what_is_sent_to_all_of_our_processes(site):
    daemon = site.start("--multiprocess", "--worker-pool-size", "1")
    task_id = site.call(f"say.async_('up').result(20); show(gated.async_('x', {str(site.gate)!r}).id)")
    site.wait_status(task_id, "RUNNING")
    daemon.signal(signal.SIGUSR1)
    pid = int(daemon.says("worker-1 (pid ").split("worker-1 (pid ")[1].split(")")[0])
    for number in (signal.SIGUSR2, signal.SIGUSR1, signal.SIGQUIT):
        os.kill(pid, number)
    site.gate.touch()
    row = site.wait_status(task_id, "SUCCEEDED")
    assert (row["attempts"], row["failures"], row["crashes"]) == (1, 0, 0)
    assert not is_gone(pid)


def test_with_the_reloader_usr2_and_quit_reach_all_that_run(edited):
    daemon = edited.start("--reload-grace", "60", "--log-format", "json")
    edited.call(f"compute.async_('far', {edited.gate}); work.async_('old', 60); show(1)")
    pids = {int(edited.wait_line("began", number)[2]) for number in ("far", "old")}
    edited.write("2")
    edited.wait_boots(2)  # (the old one finishes what it runs)
    daemon.says("reloaded in ")
    pids.add(edited.serving())
    before = objects(daemon)
    assert {found["node"] for found in before[1:]} == {os.uname().nodename}
    old = daemon.path.rename(daemon.path.with_suffix(".1"))
    daemon.signal(signal.SIGUSR2)
    wait_for(lambda: daemon.log.count("USR2: the log file was opened anew") == 2, "both daemons' lines")
    assert len(old.read_text().splitlines()) == len(before)
    assert daemon.stop(signal.SIGQUIT, 10) == 1
    wait_for(lambda: all(map(is_gone, pids)), "the end of all of them")
    said = [found["pid"] for found in objects(daemon) if found["message"].startswith("QUIT: ")]
    assert daemon.pid in said
    assert len(said) == 3


def test_quit_by_the_daemons_own_process_id_stops_all(edited):
    daemon = edited.start()
    os.kill(edited.serving(), signal.SIGQUIT)
    assert daemon.wait() == 1
    daemon.says("was stopped: so the whole of it stops")
    assert daemon.log.count(" ready in ") == 1


def test_while_it_boots_usr2_changes_nothing_and_quit_ends_it(edited):
    loop = f"while not os.path.exists({edited.gate}): time.sleep(0.01)"
    edited.write("1", on_load=f'note("loads"); exec("{loop}")')
    daemon = edited.start(ready=False)
    daemon.says("watching ")

    def loads():
        daemon.signal(signal.SIGUSR2)
        return edited.lines("loads")

    wait_for(loads, "the project to be loaded")
    for _ in range(50):
        daemon.signal(signal.SIGUSR2)
    daemon.signal(signal.SIGQUIT)
    assert daemon.wait() == 1
    assert "QUIT: stopped at once" in daemon.log
    assert "SIGUSR2" not in daemon.log


@pytest.mark.parametrize("reload", [False, True], ids=["one process", "reloader"])
def test_signals_that_it_has_inherited_as_ignored_and_blocked_work_all_the_same(site, reload):
    daemon = site.start(program=[sys.executable, "-c", DEAF, *MODULE], reload=reload)
    daemon.signal(signal.SIGUSR2)
    daemon.says("USR2: the log file was opened anew")
    if reload:
        assert daemon.stop(signal.SIGQUIT) == 1
    else:
        assert daemon.stop(signal.SIGTERM) == 0


def test_under_nohup_hup_means_nothing_and_usr2_without_a_log_file_is_harmless(site):
    daemon = site.start(program=["nohup", *MODULE], log=False)
    daemon.signal(signal.SIGHUP)
    daemon.signal(signal.SIGUSR2)
    daemon.says("USR2: there is no log file to be opened anew")
    assert site.call("show(add.async_(1, 1).result(20))") == 2
    assert "HUP" not in daemon.log
    assert daemon.stop(signal.SIGQUIT) == 1
