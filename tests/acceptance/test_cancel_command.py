"""ztaskd cancel beside a real daemon; and commands at a real terminal."""

import os
import pty
import subprocess

import pytest

from tests.acceptance.daemon import MODULE, wait_for
from tests.acceptance.test_replay_command import call_and_fail

pytestmark = pytest.mark.acceptance


@pytest.mark.both_databases
def test_what_waits_never_starts_and_what_runs_is_ended(site):
    site.start("-c", "1")
    running, *waiting = site.call("show([long.async_(60).id, *(mark.async_(n).id for n in range(3))])")
    wait_for(lambda: site.ledger, "the first to begin")
    code, text = site.command("cancel", "--all", "--yes", program=MODULE)
    assert code == 0, text
    assert "3 tasks cancelled; 1 running task asked to end" in text
    site.wait_status(running, "CANCELLED")
    assert site.count(status="CANCELLED") == 4
    assert site.marks() == []
    assert "nothing to cancel" in site.command("cancel", *waiting, program=MODULE)[1]


def at_a_terminal(site, arguments, answers=()):
    """Exit code, and what a person sees. `answers`: (what to wait for, what to type)."""
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            [*MODULE, *arguments],
            env=site.env(TERM="xterm", COLUMNS="100"),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        seen, left = "", list(answers)
        while True:
            try:
                seen += os.read(ours, 4096).decode()
            except OSError:  # it has closed its end
                break
            if left and left[0][0] in seen:
                os.write(ours, left.pop(0)[1].encode())
        return process.wait(30), seen
    finally:
        os.close(ours)


def test_at_a_terminal_there_is_a_bar_and_the_lines_fit(site):
    call_and_fail(site, "mark.map(range(30))", "shop.errors.VeryLong: " + "x" * 300)
    code, seen = at_a_terminal(site, ["replay", "--rate", "20/s"])
    assert code == 0, seen
    assert "\r\x1b[K[#" in seen
    assert "/30" in seen
    assert "30 tasks queued again" in seen.splitlines()[-2]
    code, seen = at_a_terminal(site, ["list"])
    assert code == 0
    assert max(len(line) for line in seen.splitlines()) <= 100


@pytest.mark.parametrize(("typed", "left"), [("y\n", 0), ("\n", 3)])
def test_purge_asks_at_a_terminal(site, typed, left):
    call_and_fail(site, "mark.map(range(3))")
    code, seen = at_a_terminal(site, ["purge", "--all"], [("[y/N]", typed)])
    assert "delete 3 FAILED tasks for good?" in seen
    assert site.count() == left
    assert code == (1 if left else 0)
