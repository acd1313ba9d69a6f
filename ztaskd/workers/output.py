"""Standard output and error of a child: they lead where the daemon's do, also when its log file was opened anew."""

from __future__ import annotations

import os
import stat


class Output:
    """`daemon`: its process id."""

    def __init__(self, daemon: int) -> None:
        self._theirs = f"/proc/{daemon}/fd/1"

    def follow(self) -> None:
        """Fit for a signal's handler. (What is no file cannot be rotated.)"""
        try:
            theirs, ours = os.stat(self._theirs), os.fstat(1)
            if os.path.samestat(theirs, ours) or not (
                stat.S_ISREG(theirs.st_mode) and stat.S_ISREG(ours.st_mode)
            ):
                return
            fd = os.open(self._theirs, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        except OSError:  # no /proc, or a file that is not for us
            return
        for ours_too in (1, 2):
            os.dup2(fd, ours_too)
        os.close(fd)
