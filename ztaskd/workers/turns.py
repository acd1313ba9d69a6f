"""A child gives way: what computes for long lets those go first who want a moment, above all the daemon with its slots.

It gets a lower priority (nice), and is content with fewer and longer turns (the slice of Linux 6.12 and later), so that
whoever wakes up beside it need not wait for the end of its turn. Where nobody else wants the processor it costs nothing.
"""

from __future__ import annotations

import ctypes
import os
import struct
from contextlib import suppress
from pathlib import Path

# The nicest there is.
MOST = 19

# Seconds of a turn, where it may choose.
SLICE = 0.02

# The number of sched_setattr(2), for which there is no function in every libc.
SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}

# struct sched_attr: its size, the policy, flags, nice, priority, the turn in nanoseconds, deadline, period.
ATTRIBUTES = "=IIQiIQQQ"

# The priority of a whole session (sched(7), autogroups).
SESSION = Path("/proc/self/autogroup")

_own = _sessions = False  # what has been done


def give_way(nice: int) -> None:
    """To be so much nicer than the daemon (0: as nice as it is), as far as the system lets us. In a session of our own:
    Linux may keep the processor's time by sessions, and nice values then count within one only. It takes such a change
    ten times a second at most, from all ordinary users together: so this is called before each task, and done once."""
    global _own, _sessions
    nice = min(nice, MOST)
    if not nice:
        return
    if not _own:
        _own = True
        _be_nice(nice)
    if not _sessions:
        try:
            SESSION.write_text(str(nice))
        except BlockingIOError:
            return
        except OSError:  # this system has none
            pass
        _sessions = True


def _be_nice(more: int) -> None:
    with suppress(OSError):
        os.nice(more)
    number = SCHED_SETATTR.get(os.uname().machine)
    if number is not None and os.sched_getscheduler(0) == os.SCHED_OTHER:
        nice = os.getpriority(os.PRIO_PROCESS, 0)
        size = struct.calcsize(ATTRIBUTES)
        told = struct.pack(ATTRIBUTES, size, os.SCHED_OTHER, 0, nice, 0, int(SLICE * 1e9), 0, 0)
        ctypes.CDLL(None).syscall(number, 0, told, 0)
