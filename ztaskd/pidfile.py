"""--pidfile: the process id of the program that a supervisor sees; held, so that two cannot share it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ztaskd.again import program
from ztaskd.cli import Exit
from ztaskd.locks import LockFile
from ztaskd.project import Refusal


@contextmanager
def written(path: str | None) -> Iterator[None]:
    """Held for the block, if there is to be one. Raises Refusal."""
    if path is None:
        yield
        return
    pidfile = LockFile(Path(path).absolute())
    try:
        free = pidfile.acquire(f"{os.getpid()}\n")
    except OSError as error:
        raise Refusal(Exit.PIDFILE, f"--pidfile: cannot write {path}: {error.strerror}") from None
    if not free:
        raise Refusal(Exit.PIDFILE, f"--pidfile: {path} is held by a running ztaskd, pid {pidfile.holder()}")
    program.pidfile = pidfile.path  # (it goes with us, however we end)
    try:
        yield
    finally:
        if not program.starts_anew():  # (what takes our place has our number)
            program.pidfile = None
            pidfile.release()
