"""HUP without the reloader: broken code is refused, good code starts in the same process; and closed terminals."""

import contextlib
import os
import pty
import re
import signal
import sys
import termios
from pathlib import Path

import pytest

from django_ztask.control import ask
from tests.acceptance.daemon import MODULE, PATIENCE, Program, wait_for
from tests.acceptance.edited import is_gone
from tests.acceptance.wire import url

pytestmark = pytest.mark.acceptance

# Makes the terminal at descriptor 0 its own, then becomes the daemon.
IN_A_TERMINAL = (
    f"import fcntl, os, sys; fcntl.ioctl(0, {termios.TIOCSCTTY}, 0); os.execv(sys.argv[1], sys.argv[1:])"
)


def start(edited, *args):
    edited.daemon = edited.site.start(*args, cwd=edited.folder, PYTHONPATH=edited.path)
    return edited.daemon


@pytest.mark.both_databases
def test_hup_starts_the_new_code_under_the_same_process_id(edited):
    pidfile = edited.site.folder / "pid"
    daemon = start(edited, "--pidfile", str(pidfile))
    edited.write("2")
    daemon.signal(signal.SIGHUP)
    edited.wait_boots(2)
    assert edited.serving() == daemon.pid
    assert edited.version() == "2"
    assert pidfile.read_text().strip() == str(daemon.pid)
    assert edited.site.sql("SELECT pid FROM django_ztask_node") == [daemon.pid]
    assert daemon.stop() == 0
    assert not pidfile.exists()


def test_hup_refuses_code_that_is_broken_with_the_reason(edited):
    daemon = start(edited)
    edited.write("2")
    edited.save(edited.more, "def (")
    daemon.signal(signal.SIGHUP)
    daemon.says("HUP: not restarted, the old code goes on")
    assert "invalid syntax (more.py, line 1)" in daemon.log
    node = ask(url(edited.site), "status", PATIENCE).value
    assert re.match("the new code was refused, .* invalid syntax", node["reload"])
    assert edited.version() == "1"
    edited.save(edited.more, "")
    daemon.signal(signal.SIGHUP)
    edited.wait_boots(2)
    assert edited.version() == "2"
    assert ask(url(edited.site), "status", PATIENCE).value["reload"] is None


def test_hup_lets_running_tasks_end_first(edited):
    daemon = start(edited)
    task_id = edited.call(f"show(gated.async_('long', {edited.gate}).id)")
    edited.wait_line("began", "long")
    edited.write("2")
    daemon.signal(signal.SIGHUP)
    daemon.says("stopping: 1 task(s) run")
    later = edited.call("show(work.async_('later').id)")
    edited.open_gate()
    edited.site.wait_status(later, "SUCCEEDED")
    row = edited.site.task(task_id)
    assert (row["status"], row["attempts"]) == ("SUCCEEDED", 1)
    assert edited.wait_line("ended", "long")[1] == "1"
    assert edited.wait_line("ended", "later")[1] == "2"


@pytest.mark.parametrize("task", ["work.async_('long', 60)", "compute.async_('long', '/no/such/gate')"])
def test_hup_hands_back_what_outlasts_the_grace(edited, task):
    daemon = start(edited, "--grace", "0.2")
    task_id = edited.call(f"show({task}.id)")
    edited.wait_line("began", "long")
    edited.write("2")
    daemon.signal(signal.SIGHUP)
    edited.wait_line("began", "long", "2")
    row = edited.site.task(task_id)
    assert (row["interruptions"], row["failures"], row["crashes"]) == (1, 0, 0)


def test_a_stop_while_hup_waits_for_tasks_is_a_stop(edited):
    daemon = start(edited)
    edited.call(f"show(gated.async_('long', {edited.gate}).id)")
    edited.wait_line("began", "long")
    daemon.signal(signal.SIGHUP)
    daemon.says("stopping: 1 task(s) run")
    daemon.signal(signal.SIGTERM)
    edited.open_gate()
    assert daemon.wait() == 0
    assert daemon.log.count(" ready in ") == 1


# In two children: one that a thread keeps from ending by itself, and one that does not come up.
LINGERING = """
import sys, threading
@task(pool="process")
def linger():
    threading.Thread(target=time.sleep, args=[600]).start()
    return os.getpid()
def come_up():
    if VERSION == "1" and sys.argv[1:2] == ["worker-2"]:
        note("comes", os.getpid())
        time.sleep(600)
"""


def test_hup_leaves_no_child_of_the_old_code_behind(edited):
    edited.write("1", "come_up()", LINGERING)
    daemon = start(edited, "--multiprocess", "--worker-pool-size", "2")
    pids = [int(edited.wait_line("comes")[0]), edited.call("show(linger.async_().result(20))")]
    edited.write("2")
    daemon.signal(signal.SIGHUP)
    edited.wait_boots(2)
    wait_for(lambda: all(map(is_gone, pids)), "their end", 3)
    assert "does not come up" not in daemon.log
    assert daemon.stop() == 0


SLOW = """
import sys
if "--check" in sys.argv:
    note("checks", os.getpid())
    while not os.path.exists({gate}):
        time.sleep(0.01)
"""


def test_a_hup_during_a_trial_is_answered_and_a_stop_ends_it_without_a_word(edited):
    daemon = start(edited)
    edited.write("2", extra=SLOW.format(gate=edited.gate))
    daemon.signal(signal.SIGHUP)
    pid = int(edited.wait_line("checks")[0])
    daemon.signal(signal.SIGHUP)
    daemon.says("a trial of the new code is under way already")
    edited.call(f"show(gated.async_('long', {str(edited.folder / 'end')!r}).id)")
    edited.wait_line("began", "long")
    daemon.signal(signal.SIGTERM)
    daemon.says("stopping: 1 task(s) run")
    edited.open_gate()
    wait_for(lambda: is_gone(pid), "the end of the trial")
    (edited.folder / "end").touch()
    assert daemon.wait() == 0
    assert "the new code is fine" not in daemon.log
    assert daemon.log.count(" ready in ") == 1


def test_many_hups_do_not_end_it(edited):
    daemon = start(edited)
    edited.write("2")
    for _ in range(300):
        daemon.signal(signal.SIGHUP)
        with contextlib.suppress(AssertionError):
            wait_for(lambda: daemon.process.poll() is not None, "its end", 0.02)
    edited.wait_boots(2)
    wait_for(lambda: edited.version() == "2", "the new code")
    assert daemon.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2])
def test_what_is_asked_for_while_it_takes_its_own_place_does_not_end_it(edited, number):
    daemon = start(edited)
    edited.write("2")
    daemon.signal(signal.SIGHUP)

    def ready_again():
        daemon.signal(number)
        return daemon.log.count(" ready in ") == 2

    wait_for(ready_again, "the new code")
    assert edited.version() == "2"
    assert daemon.stop() == 0


def test_the_watchdogs_thread_leaves_all_signals_to_the_main_one(edited):
    """Which blocks them before the process becomes another program: none is lost then."""
    daemon = start(edited)
    masks = [
        re.findall(r"SigBlk:\s*(\w+)", path.read_text())[0]
        for path in Path(f"/proc/{daemon.pid}/task").glob("*/status")
        if path.parent.name != str(daemon.pid)
    ]
    assert any(int(mask, 16) >> (signal.SIGTERM - 1) & 1 for mask in masks)


def test_replayfailed_is_not_repeated(edited):
    daemon = start(edited, "--replayfailed")
    daemon.signal(signal.SIGHUP)
    edited.wait_boots(2)
    assert daemon.log.count("--replayfailed: ") == 1


def test_after_hup_a_log_on_standard_output_goes_on(edited):
    daemon = edited.daemon = edited.site.start(log=False, cwd=edited.folder, PYTHONPATH=edited.path)
    daemon.signal(signal.SIGHUP)
    edited.wait_boots(2)
    assert daemon.stop() == 0


# -- terminals ----------------------------------------------------------------------------------------


class Terminal:
    """A daemon in a terminal of its own."""

    def __init__(self, edited, *args):
        self.ours, theirs = pty.openpty()
        folder = edited.site.folder
        command = [*MODULE, "-f", str(folder / "log"), *args]
        env = edited.site.env(PYTHONPATH=edited.path)
        program = [sys.executable, "-c", IN_A_TERMINAL, *command]
        self.program = Program(program, env, edited.folder, folder / "out", theirs)
        edited.site.programs.append(self.program)
        os.close(theirs)
        self.log = folder / "log"
        wait_for(lambda: self.log.exists() and " ready in " in self.log.read_text(), "a daemon")

    def close(self):
        os.close(self.ours)


@pytest.mark.parametrize("flags", [["--noreload"], []], ids=["one process", "reloader"])
def test_one_ctrl_c_is_one_clean_stop(edited, flags):
    terminal = Terminal(edited, *flags)
    task_id = edited.call("show(work.async_('short', 1).id)")
    edited.wait_line("began", "short")
    os.write(terminal.ours, b"\x03")
    assert terminal.program.wait() == 0
    assert edited.site.task(task_id)["status"] == "SUCCEEDED"
    terminal.close()


@pytest.mark.parametrize("flags", [["--noreload"], []], ids=["one process", "reloader"])
def test_when_its_terminal_is_closed_it_stops(edited, flags):
    terminal = Terminal(edited, *flags)
    terminal.close()
    assert terminal.program.wait() == 0
    assert edited.site.sql("SELECT count(*) FROM django_ztask_node") == [0]
