"""ztaskd status, ping and top, beside real daemons and without one."""

import contextlib
import json
import os
import pty
import re
import select
import signal
import sqlite3
import sys
import termios
import time

import pytest

from django_ztask.control import ask
from django_ztask.errors import Refused
from tests.acceptance.daemon import MODULE, PATIENCE, ROOT, wait_for
from tests.acceptance.wire import url

pytestmark = pytest.mark.acceptance


# For a node that is there: on a busy machine its answer may take a while.
LONG = ("--timeout", "20")


def status(site):
    code, text = site.command("status", "--json", *LONG, program=MODULE)
    assert code == 0, text
    return json.loads(text)


@pytest.mark.both_databases
def test_status_tells_what_a_daemon_does_and_without_one_what_the_journal_knows(site):
    daemon = site.start("-c", "2")
    bad, waits, *ids = site.call(f"""
        bad = fail.using(retry_count=0).async_('no stock')
        add.async_(1).result(20)
        while bad.status != 'FAILED':
            bad.refresh()
        waits = mark.after(3600, 'x')
        show([bad.id, waits.id, *(gated.async_(n, {str(site.gate)!r}).id for n in range(2))])
    """)
    site.wait_count(2, status="RUNNING")
    wait_for(lambda: ask(url(site), "status", PATIENCE).value["running_total"] == 2, "two that run")
    found = status(site)
    [node] = found["nodes"]
    assert (node["pid"], node["answers"], node["slots"]) == (daemon.pid, True, {"busy": 2, "total": 2})
    assert (node["totals"]["succeeded"], node["totals"]["failed"]) == (1, 1)
    assert set(node["rates"]) == {"10s", "60s"}
    assert (node["last_error"]["id"], node["last_error"]["exception"]) == (bad, "ValueError: no stock")
    assert [(task["id"], task["place"], task["attempt"]) for task in node["running"]] == [
        (task_id, "slot", 1) for task_id in ids
    ]
    assert node["running"][0]["since"] >= node["running"][1]["since"] >= 0
    journal = found["journal"]
    assert (journal["queued"], journal["running"], journal["failed"], journal["at_least"]) == (1, 2, 1, [])
    assert (journal["due"], journal["oldest"]) == (0, None)
    assert journal["claims"] == {node["boot"]: 2}
    daemon.kill9()
    site.sql("UPDATE django_ztask_task SET next_attempt = 1 WHERE uuid = ?", waits)
    code, text = site.command("status", "--timeout", "0.2", program=MODULE)
    assert code == 1
    assert re.search(rf"oldest +waits for \S+ {waits}", text), text
    assert "running       2 (2 of " in text
    assert f"(pid {daemon.pid} on " in text
    assert "is gone: killed, or crashed" in text
    assert "start it" in text


def test_status_and_ping_do_without_the_database(site):
    daemon = site.start()
    with contextlib.closing(sqlite3.connect(site.database, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        found = status(site)
        assert (found["journal"] or {}).get("queued") == 0, found["trouble"]
        holder.execute("ROLLBACK")
    moved = site.database.with_name("away")
    site.database.rename(moved)
    code, text = site.command("status", *LONG, program=MODULE)
    assert (code, "there is no database" in text, "serves" in text) == (0, True, True), text
    code, text = site.command("ping", *LONG, program=MODULE)
    assert (code, len(text.splitlines())) == (0, 1), text
    assert re.search(rf"pid {daemon.pid}  ztaskd \S+  \d+\.\d ms  ipc://", text)
    moved.rename(site.database)
    assert daemon.stop() == 0
    code, text = site.command("ping", "--timeout", "0.1", program=MODULE)
    assert (code, "no node answers" in text) == (1, True), text


def test_another_key_is_told_from_no_node_and_a_node_that_is_stopped_from_one_that_is_gone(site):
    daemon = site.start()
    other = site.env(SHOP_SECRET_KEY="another")
    for command in ("ping", "stop"):
        code, text = site.command(command, *LONG, program=MODULE, env=other)
        assert (code, "another key" in text, "SECRET_KEY" in text) == (1, True, True), text
    assert daemon.process.poll() is None
    daemon.signal(signal.SIGSTOP)
    code, text = site.command("status", "--timeout", "0.2", program=MODULE)
    assert (code, "lives and does not answer" in text) == (1, True), text
    assert f"kill -USR1 {daemon.pid}" in text
    code, text = site.command("stop", "--timeout", "0.2", program=MODULE)
    assert (code, f"pid {daemon.pid} did not answer" in text) == (1, True), text
    daemon.signal(signal.SIGCONT)


def test_a_node_refuses_arguments_that_it_does_not_know_and_a_reply_has_an_end(site):
    daemon = site.start("-c", "1000")
    site.call(f"gated.map((n, {str(site.gate)!r}) for n in range(1000))")
    for command in ("status", "stop"):
        for arguments in ({"grace": 0}, {"\ud7ff" * 90: [{}] * 90, "b": None}):
            with pytest.raises(Refused, match="takes none") as caught:
                ask(url(site), command, PATIENCE, arguments)
            assert caught.value.kind == "argument"
    assert ask(url(site), "ping", PATIENCE).value["refused"] == {"argument": 4}
    assert ask(url(site), "status", PATIENCE).value["draining"] is False
    assert daemon.process.poll() is None
    wait_for(lambda: ask(url(site), "status", PATIENCE).value["running_total"] == 1000, "all run")
    since = [task["since"] for task in ask(url(site), "status", PATIENCE).value["running"]]
    assert len(since) == 200
    assert since == sorted(since, reverse=True)
    site.gate.touch()


class Screen:
    """A terminal, and a command in it."""

    def __init__(self, site, *arguments, columns=100, lines=30):
        self.text = ""
        pid, self.fd = pty.fork()
        if pid == 0:
            os.chdir(ROOT)
            os.execve(sys.executable, [*MODULE, *arguments], {**site.env(), "TERM": "xterm-256color"})
        self.pid = pid
        self.resize(columns, lines)

    def resize(self, columns, lines):
        termios.tcsetwinsize(self.fd, (lines, columns))

    def shows(self, words):
        """Waits until it has been drawn."""
        self.text = ""

        def drawn():
            while select.select([self.fd], [], [], 0)[0]:
                try:
                    self.text += os.read(self.fd, 65536).decode(errors="replace")
                except OSError:
                    return True
            return words in re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", self.text)

        wait_for(drawn, f"{words!r} on the screen")
        assert words in re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", self.text), self.text

    def type(self, keys):
        os.write(self.fd, keys)

    def end(self):
        """The exit code."""
        deadline = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(OSError):
                while select.select([self.fd], [], [], 0.05)[0]:
                    self.text += os.read(self.fd, 65536).decode(errors="replace")
            pid, wait = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                os.close(self.fd)
                return os.waitstatus_to_exitcode(wait)
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)


def test_top_shows_a_running_task_a_node_that_dies_and_the_next_one_and_leaves_by_q(site):
    daemon = site.start()
    task_id = site.call(f"show(gated.async_(1, {str(site.gate)!r}).id)")
    site.wait_status(task_id, "RUNNING")
    screen = Screen(site, "top", "--interval", "0.3")
    screen.shows(task_id[:18])
    screen.shows(f"pid {daemon.pid}")
    screen.resize(50, 9)
    screen.shows("1 of 100 slots")
    daemon.kill9()
    screen.resize(120, 40)
    screen.shows("no node answers")
    daemon = site.start()
    screen.shows(f"pid {daemon.pid}")
    modes = termios.tcgetattr(screen.fd)
    assert not modes[3] & termios.ECHO
    screen.type(b"q")
    assert screen.end() == 0
    assert "\x1b[?1049l" in screen.text, "the terminal is as it was"
    code, text = site.command("top", program=MODULE)  # (without a terminal)
    assert (code, text.count(f"pid {daemon.pid}")) == (0, 1), text
    site.gate.touch()


def test_top_leaves_by_an_interrupt_and_says_what_it_needs(site, tmp_path):
    screen = Screen(site, "top")
    screen.shows("no node answers")
    screen.type(b"\x03")
    assert screen.end() == 0
    assert "Traceback" not in screen.text
    (tmp_path / "rich").mkdir()
    (tmp_path / "rich" / "__init__.py").write_text("raise ModuleNotFoundError('rich')")
    env = site.env(PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")
    code, text = site.command("top", program=MODULE, env=env)
    assert (code, text) == (2, "ztaskd: top needs rich. Run: pip install 'ztaskd[tui]'\n")
