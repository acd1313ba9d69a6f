"""The sheet on which a child writes what it executes when it gets SIGUSR1: `faulthandler` does so in its C handler,
so a child in a C call answers, too, and the daemon reads it however blocked its hub is.
"""

from __future__ import annotations

import faulthandler
import fcntl
import os
import signal

# The child's descriptor for it, and where the daemon and the child keep theirs, out of a careless task's way.
FD, HIGH = 4, 100

# Bytes of a dump that are read: a hundred frames.
MOST = 100_000


class Sheet:
    """The daemon's side: memory that it shares with one child. It is gone with this object."""

    fd = -1

    def __init__(self) -> None:
        self.fd = high(os.memfd_create("ztaskd-stack"))

    def __del__(self) -> None:
        if self.fd != -1:
            os.close(self.fd)

    def wipe(self) -> None:
        """Before the child is asked. (Both sides have one offset.)"""
        os.ftruncate(self.fd, 0)
        os.lseek(self.fd, 0, os.SEEK_SET)

    def read(self) -> str:
        return os.pread(self.fd, MOST, 0).decode("utf-8", "replace")


def answer() -> None:
    """The child's side, from now on: SIGUSR1 writes down the stack of the thread that gets it, the main one."""
    faulthandler.register(signal.SIGUSR1, file=high(FD), all_threads=False)


def high(fd: int) -> int:
    """The same, under a number that nobody closes by mistake, and not for what tasks start."""
    try:
        number = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, HIGH)
    except OSError:  # the limit of open files is as low as that
        number = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    os.close(fd)
    return number
