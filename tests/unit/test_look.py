"""A look at the journal beside: what is said of one that was too late."""

from __future__ import annotations

import threading

from ztaskd.commands.journal import Look


def test_a_database_that_answers_when_nobody_waits_any_longer_was_too_late() -> None:
    """Between its answer and the picture there is a moment."""
    go_on = threading.Event()
    look = Look(lambda connection: go_on.wait(30), check=False)
    assert look.wait(0) is None
    go_on.set()
    assert look._over.wait(30)
    assert look.trouble.startswith("the database has not answered for ")
