"""What the dispatcher is asked for in other threads than the hub's."""

from __future__ import annotations

import sys
import threading

from tests.integration.helpers import claim_new
from tests.integration.test_dispatch import Requests, dispatcher_of


def test_what_runs_is_told_in_any_thread_while_tasks_begin_and_end() -> None:
    """(A task's own thread asks, when it says how far it is.)"""
    dispatcher = dispatcher_of(Requests(), slots=2)
    running = dispatcher.first.places.running
    running.update(dict.fromkeys(range(1000), claim_new()))
    failed: list[Exception] = []

    def ask() -> None:
        try:
            for _ in range(300):
                dispatcher.running()
        except RuntimeError as error:
            failed.append(error)

    interval, thread = sys.getswitchinterval(), threading.Thread(target=ask)
    sys.setswitchinterval(1e-6)
    try:
        thread.start()
        while thread.is_alive():
            if not running.pop("more", None):
                running["more"] = running[0]
    finally:
        sys.setswitchinterval(interval)
    assert failed == []
