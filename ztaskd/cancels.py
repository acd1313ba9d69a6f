"""What the node makes of cancelled tasks: it looks in the journal which of its own are to end, and tells the dispatcher.

A message only says where to look, so none is believed, and a lost one costs a round.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from contextlib import suppress

from gevent.event import Event

from django_ztask import cancelling
from django_ztask.message import MAX_NAMES
from ztaskd.committer import Committer
from ztaskd.dispatch import Dispatcher
from ztaskd.storage import TROUBLE

# Seconds between two looks when no message asks for one: what a lost message costs.
ROUND = 2.0


class Cancels:
    """`heard` takes what messages name; `serve` is a service greenlet. On the hub's thread, both."""

    def __init__(self, committer: Committer, dispatcher: Dispatcher, boot: str) -> None:
        self.committer = committer
        self.dispatcher = dispatcher
        self.boot = boot
        self._ids: dict[str, None] = {}
        self._all = False  # look for all that run here
        self._heard = Event()

    def heard(self, ids: Sequence[str]) -> None:
        """A message. (However many come: what is looked for at a time has an end.)"""
        self._ids.update((task_id, None) for task_id in ids if "\0" not in task_id)
        if not ids or len(self._ids) > MAX_NAMES:
            self._all = True
        self._heard.set()

    def serve(self) -> None:
        while True:
            said = self._heard.wait(ROUND)
            self._heard.clear()
            self._look(everything=not said)

    def _look(self, everything: bool) -> None:
        """(After a message always: what it names may be claimed already, while the hub has not heard of it.)"""
        ids, said = list(self._ids), self._all or bool(self._ids)
        everything = everything or self._all
        self._ids.clear()
        self._all = False
        if not said and not self.dispatcher.holds():
            return
        verb = functools.partial(cancelling.asked, boot=self.boot, ids=() if everything else ids)
        with suppress(*TROUBLE):  # the committer says so; the next round is soon
            self.dispatcher.cancel(self.committer.call(verb))
