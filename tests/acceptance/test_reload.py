"""Reloading: new code boots beside the old one, takes over when it has come up, and no task is lost on the way."""

import pytest

from tests.acceptance.daemon import MODULE, free_port, wait_for
from tests.acceptance.edited import is_gone

pytestmark = pytest.mark.acceptance


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


def test_a_port_is_handed_over_again_and_again(edited):
    edited.site.settings["ZTASKD_URL"] = f"tcp://127.0.0.1:{free_port()}"
    edited.start()
    for number in range(2, 6):
        edited.write(str(number))
        edited.wait_boots(number)
        assert edited.version() == str(number)
    assert "ERROR" not in edited.daemon.log


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
