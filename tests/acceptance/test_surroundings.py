"""What a task leaves changed of the process does not hurt the next one, and the log says who it was."""

import re
import signal

import pytest

from tests.acceptance.daemon import wait_for

pytestmark = [pytest.mark.acceptance, pytest.mark.faults]

IMPORT = "from tests.project.shop.litter import *\n"

# What is left behind, and what the log says about it.
LEFT = {
    "change_folder": "changed the working directory to /",
    "change_umask": "changed the umask to 077",
    "change_locale": "changed the locale to C",
    "ignore_signals": "changed the handling of SIGHUP, SIGINT, SIGTERM, SIGCHLD",
    "give_signals_their_default": "changed the handling of SIGINT, SIGPIPE, SIGALRM, SIGTERM",
    "block_signals": "blocked or unblocked SIGINT, SIGTERM, signal 35",
    "set_alarm": "left a timer running (signal.alarm or setitimer)",
    "set_alarm_with_handler": "left a timer running (signal.alarm or setitimer) and changed the handling of SIGALRM",
    "close_descriptors": "closed or replaced descriptor 1 and 2",
    "let_a_file_take_descriptor_1": "closed or replaced descriptor 1",
    "replace_descriptors": "closed or replaced descriptor 2",
    "close_stdout": None,  # nothing was changed: they are not a task's to close
    "lose_stdout": "replaced sys.stdout by NoneType and replaced sys.stderr by NoneType",
    "replace_stdout": "replaced sys.stdout by StringIO and replaced sys.stderr by StringIO",
    "set_socket_timeout": "changed the default timeout of sockets to 1e-06",
    "disable_gc": "switched the garbage collector off",
    "disable_logging": "disabled logging up to level 50",
    "raise_log_levels": "changed the logger 'ztaskd' (level, handlers) and changed the logger 'root' (level, handlers)",
    "reject_records": "changed the logger 'ztaskd' (filters) and changed the logger 'root' (handlers)",
    "configure_logging": "changed the logger 'ztaskd' (disabled) and changed the logger 'root' (level, handlers)",
    "lower_precision": None,  # decimal's context is the task's own
}


def test_whatever_a_task_leaves_behind_the_next_one_finds_what_the_first_one_found(site):
    daemon = site.start("-l", "info", LC_ALL="C.UTF-8", TZ="UTC")
    before, after = site.call(
        f"""
        from tests.project.shop.litter import *
        before, after = surroundings.async_().result(20), {{}}
        for what in {list(LEFT)}:
            leave.async_(what).result(20)
            after[what] = surroundings.async_().result(20)
            say.async_(f"printed after {{what}}").result(20)
            log.async_(f"logged after {{what}}").result(20)
        show([before, after])
        """
    )
    for what, warning in LEFT.items():
        assert after[what] == before, what
        assert daemon.log.count(f"printed after {what}\n") == 2  # on both streams
        assert len(re.findall(rf" shop WARNING task \S+: logged after {re.escape(what)}\n", daemon.log)) == 1
        assert daemon.log.count(f".litter.leave {warning}: put back\n") == (warning is not None), what
    # (gevent closes what is no file a moment later than the task asked for.)
    assert daemon.log.count(".litter.leave closed or replaced descriptor 0: put back\n") == 1
    assert daemon.log.count(": put back") == len([text for text in LEFT.values() if text]) + 1
    assert daemon.log.count("litter.leave succeeded") == len(LEFT)  # the culprit's own line, too
    assert site.call("shout.async_('from a child').result(20); show(1)") == 1
    daemon.says("from a child")
    assert daemon.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_after_a_task_that_ignored_the_stop_signals_the_daemon_still_stops(site, number):
    daemon = site.start("-l", "info")
    site.call(IMPORT + "leave.async_('ignore_signals').result(20)")
    assert daemon.stop(number) == 0
    daemon.says("stopped")


def test_a_task_that_fails_is_cleaned_up_after_as_well_and_its_line_is_not_lost(site):
    daemon = site.start()
    task_id = site.call(IMPORT + "show(leave.async_('disable_logging', fails=True).id)")
    site.wait_status(task_id, "FAILED")
    assert task_id in daemon.says("disabled logging up to level 50: put back")
    assert "ERROR" in daemon.says("ValueError: after disable_logging; no retries left")
    assert daemon.stop() == 0


def test_descriptors_lead_to_the_log_as_it_is_after_it_was_rotated(site):
    daemon = site.start()
    site.call(IMPORT + "leave.async_('close_descriptors').result(20); say.async_('first').result(20)")
    daemon.says("say succeeded")
    old = daemon.path.rename(daemon.path.with_suffix(".1"))
    site.call(IMPORT + "add.async_(1, 1).result(20); leave.async_('close_descriptors').result(20)")
    site.call("say.async_('second').result(20); shout.async_('third').result(20)")
    daemon.says("shout succeeded")
    assert old.read_text().count("first\n") == 2
    assert daemon.log.count("second\n") == 2
    assert daemon.log.count("third\n") == 1
    assert daemon.stop() == 0


def test_what_one_task_changes_for_a_while_is_not_put_back_at_the_end_of_another(site):
    daemon, until = site.start(), site.folder / "until"
    waiting = site.spawn(IMPORT + f"show(capture.async_('captured', {str(until)!r}).result(20))")
    wait_for(lambda: ["captures", "captured"] in site.ledger, "the task that captures its output")
    site.call("for n in range(20): add.async_(n).result(20)")
    until.touch()
    assert waiting.wait() == 0
    assert waiting.text == '"captured\\n"\n'
    site.call("say.async_('printed').result(20)")
    assert daemon.log.count("printed\n") == 2
    assert "put back" not in daemon.log
    assert daemon.stop() == 0


def test_what_is_put_back_beside_other_tasks_is_not_put_down_to_one_of_them_alone(site):
    daemon, until = site.start(), site.folder / "until"
    site.call(IMPORT + f"leave_and_wait.async_('block_signals', {str(until)!r}).id")
    site.call(IMPORT + f"leave_and_wait.async_('change_folder', {str(until)!r}).id")
    wait_for(lambda: ["left", "change_folder"] in site.ledger, "the second")
    site.call("show(add.async_(1, 1).result(20))")
    daemon.says("(or one that ran beside it) blocked or unblocked SIGINT, SIGTERM, signal 35: put back")
    assert "directory" not in daemon.log  # lent: it is given its time
    until.touch()
    assert "(or one that ran beside it)" in daemon.says("changed the working directory to /: put back")
    found = site.call(IMPORT + "show(surroundings.async_().result(20))")
    assert found["folder"] != "/"
    assert daemon.stop() == 0
