"""The limit of a task in a slot: the signal that ends what never yields raises in the culprit, once, or in nobody."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator

import gevent
import pytest

from django_ztask.errors import TimeLimitExceeded
from ztaskd import limits
from ztaskd.limits import Limit

ROUNDS = 60

HUB = threading.get_ident()


@pytest.fixture(autouse=True)
def listening() -> Iterator[None]:
    before = signal.getsignal(limits.SIGNAL)
    limits.listen()
    yield
    signal.signal(limits.SIGNAL, before)


class Round:
    """A culprit beyond its limit, an innocent that computes as soon as it can, and somebody who signals."""

    def __init__(self, pause: float) -> None:
        self.pause = pause
        self.limit = Limit(0.001, None)
        self.computes, self.yields, self.signalled = (threading.Event() for _ in range(3))
        self.innocent_runs = threading.Event()
        self.raised: list[str] = []

    def culprit(self) -> None:
        try:
            with self.limit:
                self.computes.set()
                spin(self.yields.is_set)
                gevent.sleep(20)
        except TimeLimitExceeded:
            self.raised.append("culprit")
        try:
            gevent.sleep(0.002)  # nothing comes a second time
        except TimeLimitExceeded:
            self.raised.append("culprit again")

    def innocent(self) -> None:
        try:
            self.innocent_runs.set()
            spin(self.signalled.is_set)
            spin_for(0.001)
        except TimeLimitExceeded:
            self.raised.append("innocent")

    def signal_first(self) -> None:
        self.limit.interrupt(HUB)
        time.sleep(self.pause)
        self.yields.set()
        self.signalled.set()

    def yield_first(self) -> None:
        self.yields.set()
        time.sleep(self.pause)
        self.limit.interrupt(HUB)
        self.signalled.set()

    def signal_the_innocent(self) -> None:
        self.yields.set()
        self.innocent_runs.wait(20)
        self.limit.interrupt(HUB)
        self.signalled.set()

    def play(self, how: Callable[[Round], None]) -> list[str]:
        def signals() -> None:
            self.computes.wait(20)
            time.sleep(0.002)  # its limit is over
            how(self)

        thread = threading.Thread(target=signals)
        thread.start()
        gevent.joinall([gevent.spawn(self.culprit), gevent.spawn(self.innocent)], raise_error=True)
        thread.join()
        return self.raised


def spin(until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not until():
        assert time.monotonic() < deadline


def spin_for(seconds: float) -> None:
    end = time.monotonic() + seconds
    spin(lambda: time.monotonic() > end)


@pytest.mark.parametrize("how", [Round.signal_first, Round.yield_first, Round.signal_the_innocent])
def test_whenever_the_culprit_yields_it_is_ended_once_and_the_innocent_never(
    how: Callable[[Round], None],
) -> None:
    rounds = [Round(n % 10 * 0.0001).play(how) for n in range(ROUNDS)]
    assert rounds == [["culprit"]] * ROUNDS


def test_what_swallows_its_limit_is_asked_again_at_its_hard_limit_only() -> None:
    now = time.monotonic()
    with Limit(0.01, 5.0) as limit:
        assert not limit.is_due(now)
        spin(lambda: limit.is_due(time.monotonic()))
        with pytest.raises(TimeLimitExceeded, match=r"the task ran longer than its timeout of 0\.01 s"):
            interrupt(limit)
        assert limit.heard
        assert not limit.is_due(now + 4.9)
        interrupt(limit)  # not due: nothing is raised
        gevent.sleep(0.02)  # nor by gevent's timer
        assert limit.is_due(now + 6)


def test_nothing_is_raised_when_the_call_is_over() -> None:
    with Limit(0.001, None) as limit:
        spin_for(0.003)
    interrupt(limit)
    assert limit.heard
    assert not limits._running


def interrupt(limit: Limit) -> None:
    """As the watchdog does, while this thread computes; returns when the signal has come."""
    thread = threading.Thread(target=limit.interrupt, args=(HUB,))
    thread.start()
    spin(lambda: limit.heard and not thread.is_alive())
