"""Lock files: who serves (the node's lock), and which boots are alive (each boot's own lock).

An flock is free as soon as its process is gone, however it went: that proves a node's death without
waiting for a lease. Forked children close their copy, or they would keep a dead node alive.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any


class LockFile:
    """One file that at most one process holds. Its text says who."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None
        os.register_at_fork(after_in_child=self._forget)

    def acquire(self, text: str) -> bool:
        """False when another process holds it. Raises OSError when the file cannot be made."""
        while True:
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(fd)
                return False
            if _is_at(fd, self.path):
                break
            os.close(fd)  # its holder removed the file between our open and our lock
        os.ftruncate(fd, 0)
        os.write(fd, text.encode())
        self._fd = fd
        return True

    def holder(self) -> str:
        """What the holder wrote about itself."""
        try:
            return self.path.read_text(errors="replace").strip() or "unknown"
        except OSError:
            return "unknown"

    def release(self) -> None:
        """Removes the file and lets go. Twice, or before acquire, is fine."""
        if self._fd is not None:
            self.path.unlink(missing_ok=True)
            os.close(self._fd)
            self._fd = None

    def _forget(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def is_held(path: Path) -> bool:
    """True when some process holds the lock file at `path`."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def folder_for(connection: Any) -> Path:
    """The folder of the locks of one journal. Beside the SQLite file, since whoever shares the journal
    shares them; else a private folder of this user, named by the database. Raises OSError."""
    settings = connection.settings_dict
    if connection.vendor == "sqlite":
        database = Path(str(settings["NAME"]).removeprefix("file:").partition("?")[0])
        folder = database.with_name(database.name + "-ztaskd")
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder
    address = repr([settings["HOST"], settings["PORT"], settings["NAME"]])
    base = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
    folder = base / f"ztaskd-{os.geteuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.geteuid() or folder.stat().st_mode & 0o022:
        raise PermissionError(f"{folder} can be written by others")
    folder /= hashlib.sha256(address.encode()).hexdigest()[:16]
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _is_at(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False
