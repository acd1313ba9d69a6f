"""--log-format json: every line of a daemon's life is one object, whoever writes it, wherever it goes to."""

import json
import os
import signal
import time

import pytest

from tests.acceptance.daemon import MODULE, wait_for

pytestmark = pytest.mark.acceptance

# As rc.local starts it: in the background, with its standard descriptors closed. (So the shell has it ignore INT and
# QUIT.)
RC_LOCAL = ["sh", "-c", '"$@" <&- >&- 2>&- & wait $!', "sh", *MODULE]


def objects(daemon):
    """Each line of the log. Fails when one of them is no object."""
    found = [json.loads(line) for line in daemon.log.splitlines()]
    for each in found:
        assert {"time", "level", "logger", "message", "node", "pid"} <= set(each), each
    return found


def busy_run(site, daemon):
    """Until the daemon has stopped. Returns the ids of its tasks, but those of 500 that succeed."""
    ids = site.call("""
        from tests.project.shop.hogs import *
        mark.map([f"m{n}" for n in range(500)])
        found = {
            "retried": touchy.using(retry_count=1, retry_after=0).async_("odd\\u2028\\x1b\\n text \\x85"),
            "logged": log.async_("wörds\\n\\x00"),
            "child": log.using(pool="process").async_("from a child"),
            "blocks": sleep_natively.async_(1.5),
        }
        found["blocks"].result(20); found["child"].result(20)
        found["cut"] = long.async_(60)
        show({name: handle.id for name, handle in found.items()})
    """)
    site.wait_status(ids["retried"], "FAILED")
    wait_for(lambda: ["began", ids["cut"]] in site.ledger, "the long task")
    site.wait_marks(500)
    daemon.says("sleep_natively has blocked")
    daemon.signal(signal.SIGUSR1)
    daemon.says("SIGUSR1: that is all")
    assert daemon.stop() == 0
    return ids


def test_every_line_of_a_busy_run_is_one_object_with_what_it_is_about(site):
    daemon = site.start("--log-format", "json", "-l", "DEBUG", "--grace", "0.2", "-c", "50")
    ids = busy_run(site, daemon)
    found = objects(daemon)

    def about(name, **known):
        return [each for each in found if each.get("task_id") == ids[name] and known.items() <= each.items()]

    ends = about("retried", event="task_ended")
    assert [(each["attempt"], each["status"]) for each in ends] == [(1, "QUEUED"), (2, "FAILED")]
    assert all(each["exception"].startswith("Traceback") for each in ends)
    assert about("logged", logger="shop")[0]["message"] == "wörds\n\0"
    [line] = about("child", logger="shop", message="from a child")
    assert line["function"].endswith("tasks.log")
    assert line["pid"] != daemon.pid
    assert about("blocks", event="blocked")
    assert about("cut", outcome="interrupted")[0]["duration_ms"] > 0
    [stack] = [each for each in about("cut") if each["message"].startswith("a slot: task ")]
    assert "tasks.py:" in stack["message"]
    marks = [each for each in found if each.get("function", "").endswith("tasks.mark")]
    assert sum(each.get("outcome") == "success" for each in marks) == 500
    assert found[-1]["message"] == "stopped"


@pytest.mark.parametrize(
    ("reload", "log", "flags"),
    [(False, True, ["--log-format", "json"]), (True, False, []), (True, True, ["--log-format", "json"])],
    ids=["one process, json", "reloader, no log", "reloader, json"],
)
def test_from_rc_local_it_works_whatever_is_closed(site, reload, log, flags):
    pidfile = site.folder / "pid"
    daemon = site.start(
        "--pidfile", str(pidfile), *flags, program=RC_LOCAL, ready=False, reload=reload, log=log
    )
    assert site.call("say.async_('said').result(60); show(add.async_(1, 1).result(20))") == 2
    pid = int(pidfile.read_text())
    if log:
        lines = daemon.log.splitlines()
        assert lines.count("said") == 2, "what tasks print stays as it is"
        assert all(json.loads(line) for line in lines if line != "said")
    os.kill(pid, signal.SIGQUIT if log else signal.SIGTERM)
    assert daemon.wait() == (1 if log else 0)
    assert "QUIT: stopped at once" in daemon.log or not log


def test_without_a_log_file_its_last_words_are_objects_too(site):
    daemon = site.start("--log-format", "json", log=False)
    refused = site.start("--log-format", "json", log=False, ready=False)
    assert refused.wait() == 3
    [why] = objects(refused)
    assert (why["level"], "runs already" in why["message"]) == ("CRITICAL", True)
    task_id = site.call("show(long.async_(60).id)")
    wait_for(lambda: ["began", task_id] in site.ledger, "the task's first line")
    daemon.signal(signal.SIGTERM)
    daemon.says("stopping: 1 task")

    time.sleep(0.3)  # two signals within 0.1 s are one
    assert daemon.stop() == 1
    assert objects(daemon)[-1]["message"].startswith("second signal: stopped at once")
