"""Which files the demo works on."""

from __future__ import annotations

import os
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from .errors import UsageError

LEFT_OUT = {"site-packages", "dist-packages", "__pycache__"}


@dataclass(frozen=True)
class Codebase:
    """The folder to index, how to call it, and why some of its files fail, if that is known."""

    folder: Path
    title: str
    why_failures: str = ""


def choose_folder(argument: str | None) -> Codebase:
    if argument is None:
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        return Codebase(
            Path(sysconfig.get_path("stdlib")).resolve(),
            f"the standard library of Python {version}",
            "Data of Python's own tests: Python 2 code, bad encodings, bad syntax.",
        )
    folder = Path(argument).expanduser()
    if not folder.is_dir():
        raise UsageError(f"{argument} is not a folder")
    return Codebase(folder.resolve(), str(folder.resolve()))


def find_sources(folder: Path) -> list[str]:
    """All *.py files below the folder, as relative paths, without installed packages."""
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(set(folders) - LEFT_OUT)
        for name in sorted(names):
            path = Path(parent, name)
            if name.endswith(".py") and path.is_file() and storable(name):
                found.append(path.relative_to(folder).as_posix())
    if not found:
        raise UsageError(f"there are no *.py files in {folder}")
    return found


def storable(name: str) -> bool:
    """File names may be any bytes, but a database column holds text."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
