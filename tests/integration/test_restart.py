"""HUP's trial of the new code, against programs that do not end."""

import os
import sys

import gevent
from gevent.event import Event

from tests.acceptance.edited import is_gone
from ztaskd import restart
from ztaskd.again import program

# Starts a process of its own, says its number, and never ends.
ENDLESS = """
import os, time
print("other", os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "600"), flush=True)
time.sleep(600)
"""


def test_a_trial_that_does_not_end_is_killed_with_all_it_has_started_and_the_next_hup_tries_again(
    monkeypatch,
):
    said = []
    monkeypatch.setattr(restart, "TRIAL", 2.0)
    monkeypatch.setattr(restart.events, "emit", lambda event, **fields: said.append((event, fields["text"])))
    monkeypatch.setattr(program, "_environment", dict(os.environ))
    monkeypatch.setattr(program, "_command", lambda *more: [sys.executable, "-S", "-c", ENDLESS])
    stop = Event()
    hup = restart.Restart(stop)
    for _ in range(2):
        hup.ask()
        with gevent.Timeout(30):
            hup._trial.join()
        event, text = said[-1]
        assert event == "error"
        assert "--check has not ended within 2 s: killed" in text
        other = int(text.rpartition("other ")[2])
        with gevent.Timeout(20):
            while not is_gone(other):
                gevent.sleep(0.01)
    assert not stop.is_set()
    assert not program.wanted
