"""Where watchdog has to watch: recursively where it can, piece by piece where a folder that does not count
(node_modules, a virtualenv) holds so many folders that watching them all would use up inotify's limit.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from ztaskd.reload import sources
from ztaskd.reload.snapshot import Snapshot

# Folders inside one that does not count, from which on it is worth going around it.
MANY = 1000

# Pieces at most: watchdog 6 takes an inotify instance for each, and a user often has no more than 128.
PIECES = 48


class Plan:
    """Remembers which left out folders are large: they are counted once."""

    def __init__(self) -> None:
        self._large: dict[str, bool] = {}

    def of(self, now: Snapshot) -> dict[str, bool]:
        """Folders to watch, and whether with all in them."""
        around = [path for path in now.left_out if self._is_large(path)]
        plan: dict[str, bool] = {}
        if around:
            _go_around(now, around, plan)
        if not around or len(plan) > PIECES:
            plan = dict.fromkeys(now.tops, True)
        whole = [folder for folder, recursive in plan.items() if recursive]
        return {
            folder: recursive
            for folder, recursive in plan.items()
            if not any(other != folder and sources.inside(folder, other) for other in whole)
        }

    def _is_large(self, path: str) -> bool:
        if path not in self._large:
            self._large[path] = holds_more_folders(path, MANY)
        return self._large[path]


def _go_around(now: Snapshot, around: list[str], plan: dict[str, bool]) -> None:
    apart = {folder for path in around for folder in _above(path)}
    waiting = list(now.tops)
    below: dict[str, list[str]] = {}
    for folder in now.folders:
        below.setdefault(os.path.dirname(folder), []).append(folder)
    while waiting:
        folder = waiting.pop()
        plan[folder] = folder not in apart
        if folder in apart:
            waiting.extend(below.get(folder, []))


def _above(path: str) -> set[str]:
    above = set()
    while (parent := os.path.dirname(path)) != path:
        above.add(parent)
        path = parent
    return above


def holds_more_folders(path: str, limit: int, left_out: Callable[[str], bool] = lambda name: False) -> bool:
    """Whether there are more than `limit` folders in there, at any depth, without those of `left_out` names."""
    found, waiting = 0, [path]
    while waiting and found <= limit:
        try:
            with os.scandir(waiting.pop()) as entries:
                folders = [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
        except OSError:
            continue
        inside = [folder.path for folder in folders if not left_out(folder.name)]
        found += len(inside)
        waiting.extend(inside)
    return found > limit
