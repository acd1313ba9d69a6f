"""Clock steps for the daemon, through libfaketime where that is installed (from pip or from the system)."""

from __future__ import annotations

import importlib.util
import os
from contextlib import suppress
from pathlib import Path

# Seconds after which a process looks at the file again.
CACHED = 1

SYSTEM = ("/usr/lib/*/faketime/libfaketime.so.1", "/usr/lib/faketime/libfaketime.so.1")


def library() -> Path | None:
    """The library to preload, or None: then clock steps are left out."""
    spec = importlib.util.find_spec("libfaketime")
    places = [Path(root) for root in spec.submodule_search_locations or []] if spec else []
    found = [path for place in places for path in place.glob("vendor/libfaketime/src/libfaketime.so.1")]
    for pattern in SYSTEM:
        found += Path("/").glob(pattern[1:])
    return next(iter(found), None)


class Clock:
    """The wall clock of processes that were started with `env`. Their monotonic clock stays true."""

    def __init__(self, file: Path, library: Path) -> None:
        self.file = file
        self.library = library
        self.set(0)

    @property
    def env(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(self.library),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_CACHE_DURATION": str(CACHED),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, seconds: int) -> None:
        """Within CACHED seconds those processes' clocks are `seconds` ahead of the true one."""
        new = self.file.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        new.rename(self.file)

    @staticmethod
    def clean(pid: int) -> None:
        """Removes the shared memory that a killed process could not remove."""
        for name in (f"faketime_shm_{pid}", f"sem.faketime_sem_{pid}"):
            with suppress(FileNotFoundError):
                os.unlink(f"/dev/shm/{name}")
