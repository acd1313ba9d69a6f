"""Steps of the daemon's wall clock. (libfaketime would do it from outside, but slows every wait between the
daemon's threads to milliseconds.) The daemon imports this module: then its `time.time` is ahead by what the
file says. The monotonic clock stays true, and so does the database's.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from pathlib import Path


class Clock:
    """The harness's side: `set` takes effect at once, in every daemon that was started with `env`."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.set(0)

    @property
    def env(self) -> dict[str, str]:
        return {"CHAOS_CLOCK": str(self.file)}

    def set(self, seconds: int) -> None:
        """From now on the daemon's clock is `seconds` ahead of the true one."""
        fd = os.open(self.file, os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(fd, struct.pack("<q", seconds))
        os.close(fd)


def _fake(path: str) -> None:
    with open(path, "rb") as file:
        memory = mmap.mmap(file.fileno(), 8, prot=mmap.PROT_READ)
    true, unpack = time.time, struct.Struct("<q").unpack_from
    time.time = lambda: true() + unpack(memory)[0]


if "CHAOS_CLOCK" in os.environ:
    _fake(os.environ["CHAOS_CLOCK"])
