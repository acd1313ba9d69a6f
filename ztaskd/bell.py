"""SIGUSR1 wakes the watchdog's thread, whatever the hub's thread is doing: C code, too. And QUIT ends the process."""

from __future__ import annotations

import fcntl
import os
import select
import signal
from contextlib import suppress

from gevent import monkey

from ztaskd import lastwords
from ztaskd.again import program
from ztaskd.cli import Exit

poll = monkey.get_original("select", "poll")
sleep = monkey.get_original("time", "sleep")

# Descriptors get numbers from this one on, out of a careless task's way.
HIGH = 100

NUMBER = int(signal.SIGUSR1)

# Seconds in which the hub's thread obeys QUIT itself, unless it is in C code.
MOMENT = 0.2


class Bell:
    """Python's C handler writes each signal's number into a pipe, at once; Python's own handlers run when the
    thread comes back to Python."""

    def __init__(self) -> None:
        self._reads, self._writes = (_high(fd) for fd in os.pipe())
        self._poll = poll()
        self._poll.register(self._reads, select.POLLIN)

    def hang(self) -> None:
        """From now on. On the main thread."""
        signal.set_wakeup_fd(self._writes, warn_on_full_buffer=False)
        signal.signal(NUMBER, self._rung)
        signal.siginterrupt(NUMBER, False)  # what tasks wait for goes on

    def wait(self, seconds: float | None) -> bool:
        """Waits so long (None: for ever). True when SIGUSR1 came."""
        found = self._poll.poll(None if seconds is None else seconds * 1000)
        if not found:
            return False
        numbers = b""
        with suppress(OSError):
            numbers = os.read(self._reads, 4096)
        if signal.SIGQUIT in numbers:
            sleep(MOMENT)
            program.stopped = True
            program.forget_pidfile()
            lastwords.leave("QUIT", Exit.CRASH)
        rung = NUMBER in numbers
        if found[0][1] & ~select.POLLIN:  # a task has closed it: no reason to spin
            sleep(1.0 if seconds is None else seconds)
        return rung

    def _rung(self, number: int, frame: object) -> None:
        """An event loop of asyncio's in a task may have taken the descriptor for its own signals."""
        with suppress(OSError, ValueError):  # a task has closed it
            theirs = signal.set_wakeup_fd(self._writes, warn_on_full_buffer=False)
            if theirs != self._writes:
                os.write(self._writes, bytes([NUMBER]))
                if theirs != -1:
                    signal.set_wakeup_fd(theirs, warn_on_full_buffer=False)


def _high(fd: int) -> int:
    """Nobody waits for either end of it."""
    try:
        high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, HIGH)
        os.close(fd)
    except OSError:  # the limit of open files is as low as that
        high = fd
    os.set_blocking(high, False)
    return high
