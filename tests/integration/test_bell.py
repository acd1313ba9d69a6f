"""SIGUSR1 wakes who waits for it, whoever else uses Python's wakeup descriptor; other signals do not."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from ztaskd.bell import Bell


@pytest.fixture
def bell() -> Iterator[Bell]:
    numbers = (signal.SIGUSR1, signal.SIGUSR2)
    before = [signal.getsignal(number) for number in numbers]
    fd = signal.set_wakeup_fd(-1)
    bell = Bell()
    bell.hang()
    yield bell
    signal.set_wakeup_fd(fd)
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def test_it_rings_for_its_own_signal_only(bell: Bell) -> None:
    assert not bell.wait(0.01)
    os.kill(os.getpid(), signal.SIGUSR1)
    assert bell.wait(20)
    assert not bell.wait(0.01), "once"
    signal.signal(signal.SIGUSR2, lambda number, frame: None)
    os.kill(os.getpid(), signal.SIGUSR2)
    assert not bell.wait(20)


def test_it_rings_although_an_event_loop_has_taken_the_descriptor_which_it_keeps(bell: Bell) -> None:
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    signal.set_wakeup_fd(writes)
    os.kill(os.getpid(), signal.SIGUSR1)
    assert bell.wait(20)
    assert signal.set_wakeup_fd(-1) == writes
    assert os.read(reads, 10) == bytes([signal.SIGUSR1])
    os.close(reads)
    os.close(writes)
