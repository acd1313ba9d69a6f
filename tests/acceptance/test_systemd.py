"""contrib/ztaskd.service under a real systemd: started, watched, reloaded, stopped."""

import re
import shutil
import subprocess
import sys

import pytest

from tests.acceptance.daemon import ROOT, wait_for
from tests.acceptance.systemd import Systemd

pytestmark = pytest.mark.acceptance

UNIT = ROOT / "contrib" / "ztaskd.service"

# What systemd would find in the unit for the whole machine.
NOT_FOR_US = "User="


def unit(edited, *changes):
    """The file of contrib/, for this project, and `changes`: (line begins with, line)."""
    changes = [
        ("WorkingDirectory=", f"WorkingDirectory={edited.folder}"),
        ("ExecStart=", f"ExecStart={sys.executable} -m ztaskd --noreload --grace 30"),
        *changes,
    ]
    lines = [line for line in UNIT.read_text().splitlines() if not line.startswith(NOT_FOR_US)]
    for start, new in changes:
        assert len([line for line in lines if line.startswith(start)]) == 1, start
        lines = [new if line.startswith(start) else line for line in lines]
    settings = {**edited.site.env(), "PYTHONPATH": edited.path}
    told = {key: value for key, value in settings.items() if key.startswith(("SHOP_", "PYTHON", "DJANGO"))}
    file = edited.folder / "environment"
    file.write_text("".join(f"{key}='{value}'\n" for key, value in told.items()))
    lines = [line for line in lines if not line.startswith("Environment=DJANGO")]
    log = f"StandardOutput=append:{edited.site.folder / 'log'}"  # (instead of the journal)
    at = lines.index("[Service]") + 1
    lines[at:at] = [f"EnvironmentFile={file}", log, "StandardError=inherit"]
    return "\n".join(lines) + "\n"


@pytest.fixture
def systemd(edited):
    made = Systemd(edited.site.folder / "systemd")
    try:
        made.wait_running()
        yield made
    finally:
        made.close()


def log(edited):
    return (edited.site.folder / "log").read_text()


def start(systemd, text):
    systemd.unit.write_text(text)
    assert systemd.control("daemon-reload")[0] == 0
    code, _ = systemd.control("start", "ztaskd")
    return code, systemd.control("status", "ztaskd")[1]


def test_systemd_starts_it_waits_until_it_serves_reloads_it_and_lets_it_finish(edited, systemd):
    started = start(systemd, unit(edited))
    assert started[0] == 0, started[1]
    assert systemd.show("StatusText").startswith("0 task(s) run")
    assert edited.version() == "1"
    pid = systemd.show("MainPID")
    edited.save(edited.more, "def (")
    assert systemd.control("reload", "ztaskd")[0] == 0
    wait_for(lambda: "invalid syntax (more.py" in systemd.show("StatusText"), "the reason")
    systemd.becomes("active")
    edited.save(edited.more, "")
    edited.write("2")
    assert systemd.control("reload", "ztaskd")[0] == 0
    wait_for(lambda: log(edited).count(" ready in ") == 2, "the new code")
    systemd.becomes("active")
    assert edited.version() == "2"
    assert (systemd.show("MainPID"), systemd.show("NRestarts")) == (pid, "0")
    ids = edited.call(f"show([f.async_('long', {edited.gate}).id for f in (gated, compute)])")
    wait_for(lambda: len(edited.lines("began")) == 2, "a task here, and one in a child")
    assert systemd.control("stop", "--no-block", "ztaskd")[0] == 0
    wait_for(lambda: "stopping: 2 task(s) run" in log(edited), "the stop")
    edited.open_gate()
    systemd.becomes("inactive")
    assert (systemd.show("Result"), systemd.show("ExecMainStatus")) == ("success", "0")
    rows = [edited.site.task(each) for each in ids]
    assert [(row["status"], row["attempts"], row["crashes"]) for row in rows] == [("SUCCEEDED", 1, 0)] * 2


def test_systemd_starts_a_daemon_again_whose_hub_stands_still_but_not_one_whose_settings_do_not_load(
    edited, systemd
):
    edited.write("1", extra="\nfrom tests.project.shop.hogs import endless\n")
    assert (
        start(systemd, unit(edited, ("WatchdogSec=", "WatchdogSec=4"), ("RestartSec=", "RestartSec=0")))[0]
        == 0
    )
    pid = systemd.show("MainPID")
    stuck = edited.call("show(endless.async_().id)")
    edited.wait_line("began", stuck)
    waiting = edited.call("show(version.async_().id)")
    edited.site.wait_status(waiting, "SUCCEEDED")
    assert systemd.show("NRestarts") == "1", log(edited)
    assert systemd.show("MainPID") != pid
    wait_for(lambda: edited.lines("began").count([stuck]) == 2, "the task again, in a child of its own")
    edited.save(edited.more, "def (")
    assert systemd.control("kill", "--signal=KILL", "ztaskd") == (0, "")
    systemd.becomes("failed")
    assert (systemd.show("ExecMainStatus"), systemd.show("NRestarts")) == ("2", "2")
    assert "invalid syntax (more.py" in systemd.show("StatusText")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_systemd_finds_no_fault_in_the_unit(tmp_path):
    text = re.sub("ExecStart=[^ ]+", "ExecStart=/bin/true", UNIT.read_text())
    (tmp_path / "ztaskd.service").write_text(text)
    command = ["systemd-analyze", "verify", str(tmp_path / "ztaskd.service")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
