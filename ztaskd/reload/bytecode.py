"""Cached bytecode of changed files: Python keeps a .pyc whose source has the same size and second as when it was
compiled, so that a quick edit would not be seen.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

# Seconds: the clock of a .pyc's entry about its source.
RACY = 1.0


def remove_bytecode(paths: Iterable[Path]) -> list[Path]:
    """Removes what any interpreter and level of optimisation has cached of these source files.

    Returns what could not be removed. A .pyc beside its source is not a cache, and stays.
    """
    left = []
    folders: dict[str, list[str]] = {}
    for path in paths:
        if path.suffix != ".py":
            continue
        folder = _cache(path)
        if folder not in folders:
            folders[folder] = _names(folder)
        for name in folders[folder]:
            if name.startswith(f"{path.stem}.") and ".pyc" in name:  # (also .pyc.1234: not yet renamed)
                cached = os.path.join(folder, name)
                try:
                    with suppress(FileNotFoundError):
                        os.remove(cached)
                except OSError:
                    left.append(Path(cached))
    return left


def _cache(path: Path) -> str:
    """The folder of its cached bytecode: __pycache__, or where PYTHONPYCACHEPREFIX says."""
    return os.path.dirname(importlib.util.cache_from_source(os.fspath(path)))


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def remove_doubtful() -> None:
    """Of the modules that are loaded here: bytecode as young as its source, which may have been saved once more in the
    same second and with the same size. (HUP does not know what has changed.)"""
    for module in list(sys.modules.values()):
        spec = getattr(module, "__spec__", None)
        source, cached = getattr(spec, "origin", None), getattr(spec, "cached", None)
        if source and cached:
            with suppress(OSError):
                if os.stat(source).st_mtime > os.stat(cached).st_mtime - RACY:
                    os.unlink(cached)
