"""Reloading: new code boots beside the old one, takes over when it has come up, and no task is lost on the way."""

import os
import signal
import sqlite3
import time

import pytest

from tests.acceptance.daemon import MODULE, free_port, wait_for
from tests.acceptance.edited import Edited

pytestmark = pytest.mark.acceptance


@pytest.fixture
def edited(site):
    return Edited(site)


def is_gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.both_databases
def test_what_is_saved_runs_after_a_moment_and_the_process_id_stays(edited):
    daemon = edited.start()
    assert edited.version() == "1"
    first = edited.serving()
    edited.write("2")
    edited.wait_boots(2)
    assert edited.version() == "2"
    assert edited.serving() not in (first, daemon.pid)
    wait_for(lambda: is_gone(first), "the old daemon's end")
    wait_for(lambda: edited.site.sql("SELECT count(*) FROM django_ztask_node") == [1], "one node's row")
    assert "changed: tasks.py" in daemon.log
    assert daemon.stop() == 0
    assert is_gone(edited.serving())


def test_a_task_that_runs_finishes_in_the_old_code_while_the_new_one_serves(edited):
    edited.start("--reload-grace", "60")
    task_id = edited.call(f"show(gated.async_('long', {edited.gate}).id)")
    began = edited.wait_line("began", "long")
    edited.write("2")
    edited.wait_boots(2)
    assert edited.version() == "2"
    assert edited.lines("ended") == []
    edited.open_gate()
    row = edited.site.wait_status(task_id, "SUCCEEDED")
    assert (row["attempts"], row["interruptions"]) == (1, 0)
    assert edited.lines("ended")[0][:3] == began[:3] == ["long", "1", began[2]]


@pytest.mark.both_databases
def test_what_outlasts_the_grace_is_interrupted_at_no_cost_and_runs_in_the_new_code(edited):
    edited.start("--reload-grace", "0.3")
    task_id = edited.call("show(work.async_('long', 60).id)")
    edited.wait_line("began", "long")
    edited.write(
        "2", extra="\nwork.function.__defaults__ = (0.0,)\nimport time\ntime.sleep = lambda seconds: None\n"
    )
    row = edited.site.wait_status(task_id, "SUCCEEDED")
    assert (row["attempts"], row["interruptions"], row["failures"], row["retry_count"]) == (2, 1, 0, 2)
    assert edited.lines("cut") == [["long", "TaskInterrupted"]]
    assert [line[:2] for line in edited.lines("began")] == [["long", "1"], ["long", "2"]]


def test_a_task_in_a_child_process_finishes_there(edited):
    edited.start("--reload-grace", "60")
    task_id = edited.call(f"show(compute.async_('long', {edited.gate}).id)")
    began = edited.wait_line("began", "long")
    edited.write("2")
    edited.wait_boots(2)
    assert edited.version() == "2"
    edited.open_gate()
    row = edited.site.wait_status(task_id, "SUCCEEDED")
    assert (row["attempts"], row["crashes"]) == (1, 0)
    assert edited.lines("ended")[0][:3] == began[:3]


def test_what_has_not_started_runs_in_the_new_code(edited):
    edited.start("-c", "1", "--reload-grace", "60")
    edited.call(f"gated.async_(0, {edited.gate}); [work.async_(n) for n in range(1, 20)]; show(1)")
    edited.wait_line("began", "0")
    edited.write("2")
    edited.wait_line("ended", "19")
    edited.open_gate()
    wait_for(lambda: len(edited.lines("ended")) == 20, "all of them")
    assert sorted(line[:2] for line in edited.lines("began")) == sorted(
        [["0", "1"], *([str(n), "2"] for n in range(1, 20))]
    )


BROKEN = {
    "a syntax error": ("def (", "invalid syntax (more.py, line 1)"),
    "a missing module": ("import no_such_module", "No module named 'no_such_module'"),
    "a process that ends": ("import sys; sys.exit(3)", "it ended with code 3"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_code_that_does_not_come_up_never_takes_over_and_says_why_once(edited, how):
    text, reason = BROKEN[how]
    daemon = edited.start()
    first = edited.serving()
    edited.save(edited.more, text)
    daemon.says("the new code does not come up, the old code goes on; waiting for an edit")
    assert edited.version() == "1"
    assert edited.serving() == first
    assert daemon.log.count(reason) == 1
    edited.write("2")
    wait_for(lambda: daemon.log.count(reason) == 2, "the next try, and why that does not come up either")
    edited.save(edited.more, "")
    edited.wait_boots(2)
    assert edited.version() == "2"
    assert daemon.stop() == 0


def test_what_on_load_raises_never_takes_over(edited):
    daemon = edited.start()
    edited.write("2", on_load="raise RuntimeError('not today')")
    daemon.says("the new code does not come up, the old code goes on; waiting for an edit")
    assert daemon.log.count("RuntimeError: not today") == 1
    assert edited.version() == "1"


def test_a_failing_check_of_the_settings_never_takes_over(edited):
    settings = edited.folder / "own.py"
    edited.save(settings, "from tests.project.settings import *\n")
    edited.site.program = [*MODULE[:3], "--settings", "own"]
    daemon = edited.start(DJANGO_SETTINGS_MODULE="own")
    edited.save(settings, "from tests.project.settings import *\nZTASKD_RETRY_COUNT = -1\n")
    assert "ZTASKD_RETRY_COUNT" in daemon.says("does not come up")
    edited.save(settings, "from tests.project.settings import *\n")
    edited.wait_boots(2)


def test_a_first_start_that_fails_waits_for_an_edit(edited):
    edited.save(edited.more, "def (")
    daemon = edited.start(ready=False)
    daemon.says("nothing is served; waiting for an edit")
    assert "invalid syntax" in daemon.log
    edited.save(edited.more, "")
    edited.wait_boots(1)
    assert edited.version() == "1"


def test_while_it_waits_for_an_edit_it_can_be_stopped(edited):
    edited.save(edited.more, "def (")
    daemon = edited.start(ready=False)
    daemon.says("waiting for an edit")
    assert daemon.stop() == 0


def test_the_address_of_another_program_is_refused_before_anything_is_handed_over(edited):
    settings = edited.folder / "own.py"
    port = free_port()
    edited.save(settings, "from tests.project.settings import *\n")
    edited.site.program = [*MODULE[:3], "--settings", "own"]
    daemon = edited.start(DJANGO_SETTINGS_MODULE="own")
    first = edited.serving()
    other = edited.site.run_in_background(
        [
            "python3",
            "-c",
            f"import socket, time; s = socket.create_server(('127.0.0.1', {port})); print(1, flush=True); time.sleep(60)",
        ]
    )
    wait_for(lambda: other.text, "the other program")
    edited.save(settings, f"from tests.project.settings import *\nZTASKD_URL = 'tcp://127.0.0.1:{port}'\n")
    line = daemon.says("does not come up, the old code goes on")
    assert f"in use by pid {other.pid}" in line
    assert edited.version() == "1"
    assert edited.serving() == first
    other.kill9()
    edited.wait_boots(2)  # it is tried again without an edit
    assert not is_gone(daemon.pid)


def test_a_daemon_that_dies_while_it_takes_over_is_followed_by_one_that_serves(edited):
    """It ends itself as soon as the node's lock is its own."""
    deadly = f"""
    import gevent, glob
    def die():
        try:
            os.close(os.open({str(edited.folder / "once")!r}, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
        while not any(open(path).read() == f"pid {{os.getpid()}}" for path in glob.glob({str(edited.site.database)!r} + "-ztaskd/node-*")):
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


@pytest.mark.parametrize("whom", ["the parent", "the daemon"])
def test_hup_reloads_without_an_edit(edited, whom):
    daemon = edited.start()
    pid = edited.serving()
    os.kill(daemon.pid if whom == "the parent" else pid, signal.SIGHUP)
    edited.wait_boots(2)
    assert edited.serving() != pid
    wait_for(lambda: is_gone(pid), "the old daemon's end")
    assert daemon.stop() == 0


def test_many_saves_are_few_boots_and_the_last_one_counts(edited):
    daemon = edited.start()
    for number in range(300):
        edited.write(f"save-{number}")
    edited.wait_boots(2)
    wait_for(lambda: edited.version() == "save-299", "the last save")
    assert daemon.log.count(" ready in ") <= 10
    assert daemon.log.count("ERROR") == 0


def test_a_change_during_the_grace_reloads_once_more(edited):
    edited.start("--reload-grace", "60")
    ids = []
    for version in "123":
        ids.append(edited.call(f"show(gated.async_('{version}', {edited.gate}).id)"))
        edited.wait_line("began", version, version)
        edited.write(str(int(version) + 1))
        edited.wait_boots(int(version) + 1)
    assert edited.version() == "4"
    edited.open_gate()
    for task_id in ids:
        assert edited.site.wait_status(task_id, "SUCCEEDED")["attempts"] == 1


def test_replayfailed_is_done_once(edited):
    edited.write(
        "1", extra="\n@task(retry_count=0)\ndef bad():\n    note('bad', VERSION)\n    raise ValueError\n"
    )
    task_id = edited.call("show(bad.async_().id)")
    daemon = edited.start("--replayfailed")
    edited.site.wait_status(task_id, "FAILED")
    edited.write("2", extra="\n@task(retry_count=0)\ndef bad():\n    note('bad', VERSION)\n")
    edited.wait_boots(2)
    assert edited.version() == "2"
    assert edited.site.task(task_id)["status"] == "FAILED"
    assert daemon.log.count("--replayfailed: ") == 1


def test_a_file_named_in_the_settings_is_watched_too(edited):
    flags = edited.folder / "flags.yaml"
    flags.write_text("a: 1")
    edited.site.settings["ZTASKD_WATCH"] = [str(flags)]
    daemon = edited.start()
    flags.write_text("a: 2")
    edited.wait_boots(2)
    assert "changed: flags.yaml" in daemon.log


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
    with sqlite3.connect(site.database) as journal:
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
