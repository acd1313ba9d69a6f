"""Service greenlets: mended, ended, and never back from where they were sent."""

import gevent

from ztaskd import services as module
from ztaskd.services import Services


def fail_once(began, failed):
    began.append(1)
    if len(began) == 1:
        failed.set()
        raise ValueError("once")
    gevent.sleep(60)


def test_a_service_that_died_is_mended(monkeypatch):
    monkeypatch.setattr(module, "PAUSE", 0.01)
    began, failed = [], gevent.event.Event()
    services = Services(lambda name, error: None)
    services.start("one", lambda: fail_once(began, failed))
    with gevent.Timeout(20):
        while len(began) < 2:
            gevent.sleep(0.01)
    services.stop()


def test_a_service_that_is_ended_while_it_is_mended_does_not_come_back(monkeypatch):
    monkeypatch.setattr(module, "PAUSE", 0.05)
    began, failed = [], gevent.event.Event()
    services = Services(lambda name, error: None)
    services.start("one", lambda: fail_once(began, failed))
    assert failed.wait(20)
    services.end("one")
    gevent.sleep(0.2)
    assert began == [1]
    services.stop()
