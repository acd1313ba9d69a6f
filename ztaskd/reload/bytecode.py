"""Cached bytecode of changed files: Python keeps a .pyc whose source has the same size and second as when it was
compiled, so that a quick edit would not be seen.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


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
