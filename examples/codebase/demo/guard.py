"""Keeps a run from pulling the database away under something that still uses it."""

from __future__ import annotations

import fcntl
import os
import socket
from pathlib import Path

from .errors import UsageError


def take_lock(path: Path) -> int:
    """One run at a time: a second one would delete the database under the first one's feet."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.read(descriptor, 20).decode().strip()
        os.close(descriptor)
        hint = f" (its ztaskd is process {owner})" if owner else ""
        raise UsageError(f"another run of the demo is still going{hint}") from None
    os.ftruncate(descriptor, 0)
    return descriptor


def refuse_if_served(url: str) -> None:
    """Somebody may play with `manage.py ztaskd` in another terminal."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(url.removeprefix("ipc://"))
        except OSError:
            return
    raise UsageError("a ztaskd of this demo project is running: stop it first, a run needs a fresh database")
