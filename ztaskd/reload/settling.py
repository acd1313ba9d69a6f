"""When a burst of changes is over: a checkout of 500 files is one change. Also asks git, which may be at it still."""

from __future__ import annotations

import os
import time

QUIET = 0.075  # seconds without an event
AT_MOST = 1.0  # seconds after the first event of a burst that has no end
GIT_AT_MOST = 10.0  # the same while git holds the lock of its index; an older lock was left behind


class Burst:
    """Events since `began` (monotonic seconds), in folders of these repositories (paths of their index.lock)."""

    def __init__(self, began: float, locks: frozenset[str]) -> None:
        self.began = began
        self.locks = locks

    def rest(self, last: float, now: float) -> float:
        """Seconds to wait before one looks again whether it is over; 0.0: it is. `last`: the latest event."""
        until = min(last + QUIET, self.began + AT_MOST)
        if until > now:
            return until - now
        if now - self.began < GIT_AT_MOST and any(_is_held(lock) for lock in self.locks):
            return QUIET
        return 0.0


def index_locks(folders: list[str]) -> frozenset[str]:
    """Where git would lock the index of the repositories that these folders belong to."""
    return frozenset(lock for folder in folders if (lock := _index_lock(folder)))


def _index_lock(folder: str) -> str | None:
    while True:
        path = os.path.join(folder, ".git")
        if os.path.isdir(path):
            return os.path.join(path, "index.lock")
        if os.path.isfile(path):  # a worktree or a submodule: one line, "gitdir: PATH"
            return _linked(folder, path)
        parent = os.path.dirname(folder)
        if parent == folder:
            return None
        folder = parent


def _linked(folder: str, path: str) -> str | None:
    try:
        with open(path, "rb") as file:
            mark, _, place = file.read(4096).strip().partition(b": ")
    except OSError:
        return None
    return os.path.join(folder, os.fsdecode(place), "index.lock") if mark == b"gitdir" else None


def _is_held(lock: str) -> bool:
    try:
        return abs(time.time() - os.stat(lock).st_mtime) < GIT_AT_MOST
    except OSError:
        return False
