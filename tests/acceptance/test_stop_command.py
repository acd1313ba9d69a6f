"""ztaskd stop: what TERM does, asked for by a message, and waited for."""

import signal
from pathlib import Path

import pytest

from django_ztask.control import ask
from django_ztask.errors import NoAnswer
from tests.acceptance.daemon import MODULE, PATIENCE, wait_for
from tests.acceptance.edited import is_gone
from tests.acceptance.wire import url

pytestmark = pytest.mark.acceptance


def stop(site, *arguments, **more):
    return site.command("stop", *arguments, program=MODULE, **more)


@pytest.mark.both_databases
def test_stop_waits_until_what_runs_has_ended(site):
    daemon = site.start("--grace", "60")
    task_id = site.call(f"show(gated.async_(1, {str(site.gate)!r}).id)")
    site.wait_status(task_id, "RUNNING")
    command = site.run_in_background([*MODULE, "stop"])
    wait_for(lambda: "waiting for " in command.text, "it waits")
    assert f"(pid {daemon.pid}): 1 task runs: tests.project.shop.trouble.gated (" in command.text
    with pytest.raises(NoAnswer):
        ask(url(site), "ping", 0.2)
    assert (daemon.process.poll(), command.process.poll()) == (None, None)
    site.gate.touch()
    assert (daemon.wait(), command.wait()) == (0, 0)
    assert f"(pid {daemon.pid})" in command.text.splitlines()[-1]
    row = site.task(task_id)
    assert (row["status"], row["attempts"], row["interruptions"]) == ("SUCCEEDED", 1, 0)
    assert "asks to stop" in daemon.log
    assert site.sql("SELECT count(*) FROM django_ztask_node") == [0]


def test_under_the_reloader_the_parent_ends_as_well_and_starts_nobody_anew(edited):
    edited.start()
    serving = edited.serving()
    code, text = stop(edited.site, env=edited.site.env(PYTHONPATH=edited.path))
    assert (code, f"pid {serving}" in text, f"its reloader (pid {edited.daemon.pid})" in text) == (
        0,
        True,
        True,
    ), text
    assert edited.daemon.process.poll() == 0
    assert is_gone(serving)
    assert edited.daemon.log.count(" ready in ") == 1


def test_all_nodes_of_this_host_are_stopped_also_those_of_other_addresses(site):
    first = site.start()
    mine = dict(site.settings)
    site.settings.update(ZTASKD_NODE="two", ZTASKD_URL=f"ipc://{site.folder}/run/two")
    second = site.start()
    site.settings = mine
    code, text = site.command("status", "--timeout", "20", program=MODULE)
    assert (code, f"pid {first.pid}" in text, f"pid {second.pid}" in text) == (0, True, True), text
    assert stop(site)[0] == 0
    assert (first.wait(), second.wait()) == (0, 0)
    code, text = stop(site)
    assert (code, text.startswith("no node runs: there is nothing to stop")) == (0, True), text


def test_whoever_is_tired_of_waiting_changes_nothing(site):
    daemon = site.start("--grace", "60")
    site.call(f"gated.async_(1, {str(site.gate)!r})")
    site.wait_count(1, status="RUNNING")
    code, text = stop(site, "--timeout", "0.2")
    assert (code, "still there after " in text, "kill -9" in text) == (1, True, True), text
    daemon.says("stopping: 1 task(s) run")
    command = site.run_in_background([*MODULE, "stop"])
    wait_for(lambda: "waiting for " in command.text, "it waits for who stops already")
    command.signal(signal.SIGINT)
    assert command.wait() == 1
    assert "goes on with it" in command.text
    assert "Traceback" not in command.text
    daemon.signal(signal.SIGTERM)  # a first signal: it finishes what runs, all the same
    site.gate.touch()
    assert daemon.wait(PATIENCE) == 0
    assert site.count(status="SUCCEEDED") == 1


def test_the_database_need_not_be_there(site):
    daemon = site.start()
    moved = site.database.with_name("away")
    site.database.rename(moved)
    code, text = stop(site)
    assert (code, f"(pid {daemon.pid})" in text) == (0, True), text
    assert daemon.wait() == 0
    code, text = stop(site)
    assert (code, "no node runs" in text, "there is no database" in text) == (0, True, True), text


def test_a_daemon_that_takes_its_own_place_is_waited_for_and_stopped(site):
    """Between HUP's exec and its first lock, it has nothing but its file."""
    daemon = site.start()
    daemon.signal(signal.SIGHUP)
    environ = Path(f"/proc/{daemon.pid}/environ")
    wait_for(lambda: b"ZTASKD_AGAIN=1" in environ.read_bytes(), "the exec")
    daemon.signal(signal.SIGSTOP)
    assert daemon.log.count(" ready in ") == 1
    command = site.run_in_background([*MODULE, "stop", "--timeout", "60"])
    wait_for(lambda: "waiting for " in command.text or command.process.poll() is not None, "what it finds")
    assert f"waiting for pid {daemon.pid}" in command.text
    daemon.signal(signal.SIGCONT)
    assert (command.wait(), daemon.wait()) == (0, 0), command.text
    assert "asks to stop" in daemon.log
