"""What a node that lets go leaves to the next one, and what it still does itself."""

import gevent
from gevent.event import AsyncResult, Event

from ztaskd.handover import Handover
from ztaskd.housekeeping import Housekeeping
from ztaskd.recover import Recovered, boot_lock
from ztaskd.services import Services


class Committer:
    """Stands for the journal's thread: what is asked first takes its time."""

    def __init__(self):
        self.asked, self.answer, self.reconciled = Event(), AsyncResult(), 0

    def call(self, verb, timeout=None):
        if timeout is None:
            self.asked.set()
            return self.answer.get()
        return None

    def reconcile(self):
        self.reconciled += 1
        return []


class Link:
    parent = 1

    def released(self):
        pass


def test_what_goes_on_in_the_journal_is_told_and_after_it_only_own_claims_are_looked_after(tmp_path):
    lock = boot_lock(tmp_path, "dead")
    lock.touch()
    committer, services, let_go = Committer(), Services(lambda name, error: None), []
    housekeeping = Housekeeping(committer, None, "own", tmp_path, None)
    services.start("housekeeping", housekeeping._round)
    assert committer.asked.wait(20)
    Handover(Link(), 1.0, lambda: let_go.append(1)).pass_on(committer, services, housekeeping)
    assert let_go
    committer.answer.set(Recovered(boots=["dead"]))
    with gevent.Timeout(20):
        while lock.exists():
            gevent.sleep(0.001)
    committer.asked.clear()
    housekeeping._round()
    assert committer.reconciled == 2
    assert not committer.asked.is_set()
    services.stop()
