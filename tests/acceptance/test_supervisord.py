"""contrib/supervisord.conf under a real supervisord."""

import configparser
import json
import os
import signal
import sys

import pytest

from tests.acceptance.daemon import ROOT, wait_for
from tests.acceptance.edited import is_gone
from tests.acceptance.supervisor import Supervisor

pytestmark = pytest.mark.acceptance

FILE = ROOT / "contrib" / "supervisord.conf"


def section(edited, **changes):
    """The file of contrib/, for this project."""
    parser = configparser.RawConfigParser(inline_comment_prefixes=(" ;",))
    parser.read(FILE)
    assert parser.sections() == ["program:ztaskd"]
    program = parser["program:ztaskd"]
    assert float(program["stopwaitsecs"]) > float(program["command"].split("--grace ")[1]) + 10
    told = {key: value for key, value in edited.site.env().items() if key.startswith(("SHOP_", "DJANGO"))}
    told |= {"PYTHONPATH": edited.path, "PYTHONUNBUFFERED": "1"}
    here = {
        "command": program["command"].replace(
            "/var/www/mysite/venv/bin/ztaskd", f"{sys.executable} -m ztaskd"
        ),
        "directory": str(edited.folder),
        "environment": ",".join(
            f"{key}={json.dumps(value)}" for key, value in told.items() if "SETTINGS" not in key
        ),
        "stdout_logfile": str(edited.site.folder / "log"),
        "startsecs": "2",
        **changes,
    }
    del program["user"]
    assert set(here) <= set(program)
    program.update(here)
    return "[program:ztaskd]\n" + "".join(f"{key}={value}\n" for key, value in program.items())


@pytest.fixture
def start(edited):
    started = []

    def start(**changes):
        env = {**edited.site.env(), "PYTHONPATH": edited.path}
        started.append(Supervisor(edited.site.folder / "supervisor", section(edited, **changes), env))
        return started[-1]

    yield start
    for each in started:
        each.close()


def log(edited):
    path = edited.site.folder / "log"
    return path.read_text() if path.exists() else ""


def test_supervisord_runs_it_starts_it_again_after_kill_9_and_lets_it_finish(edited, start):
    supervisor = start()
    supervisor.becomes("RUNNING")
    assert edited.version() == "1"
    ids = edited.call(f"show([f.async_('long', {edited.gate}).id for f in (gated, compute)])")
    wait_for(lambda: len(edited.lines("began")) == 2, "a task here, and one in a child")
    killed = supervisor.pid()
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: len(edited.lines("began")) == 4, "both once more")
    supervisor.becomes("RUNNING")
    assert supervisor.pid() != killed
    assert is_gone(killed)
    stopping = edited.site.run_in_background(
        [sys.executable, "-m", "supervisor.supervisorctl", "-c", str(supervisor.path), "stop", "ztaskd"]
    )
    wait_for(lambda: "stopping: 2 task(s) run" in log(edited), "the stop")
    edited.open_gate()
    assert stopping.wait() == 0
    assert "ztaskd: stopped" in stopping.text
    supervisor.becomes("STOPPED")
    assert "stopped: ztaskd (exit status 0)" in supervisor.program.text
    rows = [edited.site.task(each) for each in ids]
    assert [(row["status"], row["attempts"]) for row in rows] == [("SUCCEEDED", 2)] * 2


def test_supervisord_gives_up_when_the_settings_do_not_load(edited, start):
    edited.save(edited.more, "def (")
    supervisor = start(startretries="1", startsecs="60")  # (however slow this machine is)
    supervisor.becomes("FATAL")
    assert log(edited).count("invalid syntax (more.py") == 2
