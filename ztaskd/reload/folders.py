"""Which folders hold the project's code: those that Python imports from and that are neither Python's own nor an
environment's. Knows sys.path and the files of loaded modules as lists of texts: they are another process's.
"""

from __future__ import annotations

import logging
import os
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from ztaskd.reload import sources
from ztaskd.reload.laying import holds_more_folders

# Folders in a folder of sys.path, not counting those left out, from which on it is not taken for a project.
HUGE = 10_000

# In a home folder, one of these says that the project lives right there (as in many containers).
PROJECT = ("manage.py", "pyproject.toml", "setup.py")

SYSTEM = frozenset(
    [
        "/",
        "/bin",
        "/boot",
        "/dev",
        "/etc",
        "/home",
        "/lib",
        "/media",
        "/mnt",
        "/opt",
        "/proc",
        "/root",
        "/run",
        "/sbin",
        "/srv",
        "/sys",
        "/tmp",
        "/usr",
        "/usr/bin",
        "/usr/local",
        "/usr/local/bin",
        "/var",
        "/Users",
    ]
)


class Code(NamedTuple):
    """What to watch."""

    folders: tuple[Path, ...]
    files: tuple[Path, ...]  # single modules in folders that are not watched


def folders_of_project(
    path: Iterable[str], modules: Iterable[str], base: Path, say: Callable[[int, str], None]
) -> Code:
    """From sys.path, the files of loaded modules (none, before anything is loaded), and the project's folder.

    Of a folder of sys.path that is no project's (a home folder, `/`, one of more than HUGE folders) only the packages
    in use are taken; that is said. So are packages that are imported from elsewhere (editable installs).
    """
    python = _python()
    asked = [os.path.join(base, entry) for entry in ("", *path)]
    entries = dict.fromkeys(os.path.normpath(entry) for entry in asked if os.path.isdir(entry))
    folders: list[str] = []
    for entry in sorted(entries, key=lambda entry: entry.count(os.sep)):
        if _is_pythons(entry, python) or _is_watched(entry, folders):
            continue
        if why := _odd(entry):
            say(
                logging.WARNING,
                f"not watching all of {sources.shown(entry)} for changes of code: {why}; only the packages in use",
            )
        else:
            folders.append(entry)
    files = set()
    for module in sorted(set(modules)):
        if not module.endswith(".py") or not os.path.isfile(module):
            continue
        module = os.path.abspath(module)
        if _is_pythons(module, python) or _is_watched(os.path.dirname(module), folders):
            continue
        if package := _package(module):
            folders.append(package)
        else:
            files.add(Path(module))
    return Code(tuple(map(Path, folders)), tuple(sorted(files)))


def _python() -> list[str]:
    """Folders of the standard library, of what is installed, and of programs."""
    names = ("stdlib", "platstdlib", "purelib", "platlib", "scripts")
    found = {sysconfig.get_path(name) for name in names}
    for prefix in (sys.base_prefix, sys.base_exec_prefix):
        found.add(sysconfig.get_path("stdlib", vars={"installed_base": prefix, "base": prefix}))
    found.add(os.path.dirname(sys.executable))
    return [folder for folder in found if folder]


def _is_pythons(path: str, python: list[str]) -> bool:
    parts = Path(path).parts
    if "site-packages" in parts or "dist-packages" in parts:
        return True
    real = os.path.realpath(path)
    return any(sources.inside(place, folder) for place in (path, real) for folder in python)


def _is_watched(folder: str, folders: list[str]) -> bool:
    """Whether a walk through one of `folders` comes along there."""
    real = os.path.realpath(folder)
    for other in folders:
        top = os.path.realpath(other)
        if sources.inside(real, top) and not _left_out_between(top, real):
            return True
    return False


def _left_out_between(top: str, folder: str) -> bool:
    while folder != top:
        parent, name = os.path.split(folder)
        beside = [mark for mark in sources.BUILT_BY if os.path.exists(os.path.join(parent, mark))]
        if sources.left_out(parent, name, beside) or _is_environment(folder):
            return True
        folder = parent
    return False


def _is_environment(folder: str) -> bool:
    return any(os.path.exists(os.path.join(folder, mark)) for mark in sources.ENVIRONMENTS)


def _odd(folder: str) -> str:
    """Why a folder of sys.path is no project's; "" for one that may be."""
    real = os.path.realpath(folder)
    holds_project = any(os.path.exists(os.path.join(real, mark)) for mark in PROJECT)
    if real == os.path.realpath(os.path.expanduser("~")) and real != "/":
        if not holds_project:
            return "it is a home folder"
    elif real in SYSTEM or real == os.path.realpath(tempfile.gettempdir()):
        return "it is a folder of the system"
    if _is_environment(real) and not holds_project:
        return "it is a virtualenv"
    if holds_more_folders(real, HUGE, sources.left_out_by_name):
        return f"there are more than {HUGE:,} folders in it"
    return ""


def _package(module: str) -> str | None:
    """The folder of the topmost package that a module's file belongs to."""
    found, folder = None, os.path.dirname(module)
    while os.path.isfile(os.path.join(folder, "__init__.py")):
        found, folder = folder, os.path.dirname(folder)
    return found
