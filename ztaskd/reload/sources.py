"""Which files and folders count as the project's code, by their names and places alone. Reads no file's content."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

# Folders in which nobody keeps code that is imported from there. What begins with a dot (.git, .venv, .tox) is
# left out as well: no package can have such a name.
LEFT_OUT = frozenset({"__pycache__", "node_modules", "site-packages", "dist-packages", "__pypackages__"})

# Build trees, when they lie beside one of BUILT_BY: `build` and `dist` are good names for a package too.
BUILDS = frozenset({"build", "dist"})
BUILT_BY = ("pyproject.toml", "setup.py", "setup.cfg")

# What makes a folder an environment of its own.
ENVIRONMENTS = ("pyvenv.cfg", "conda-meta")


def counts(name: str) -> bool:
    """Whether a file of this name is code: not an editor's copy, lock or swap file.

    (.#foo.py is Emacs' lock, flycheck_foo.py and foo_flymake.py are what its checkers write beside foo.py;
    foo.py~, .foo.py.swp, #foo.py#, 4913 and sedJf81xy do not end in .py.)
    """
    return (
        name.endswith(".py")
        and not name.startswith((".", "#", "flycheck_"))
        and not name.endswith("_flymake.py")
    )


def left_out_by_name(name: str) -> bool:
    return name in LEFT_OUT or name.startswith(".") or name.endswith((".egg-info", ".dist-info"))


def left_out(parent: str, name: str, beside: Collection[str]) -> bool:
    """Whether the folder `name` of `parent`, where also the names `beside` are, holds none of the project's code.

    (Environments are known by what is in them: is_environment.)
    """
    if left_out_by_name(name):
        return True
    if name in BUILDS and any(file in beside for file in BUILT_BY):
        return not os.path.exists(os.path.join(parent, name, "__init__.py"))
    return False


def is_environment(names: Collection[str]) -> bool:
    """Whether a folder that holds these names is a virtualenv or a conda environment."""
    return any(mark in names for mark in ENVIRONMENTS)


def inside(path: str, folder: str) -> bool:
    """Whether `path` is `folder` or lies in it, by the letters of both (no links are looked up)."""
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def shown(path: str | Path) -> str:
    """The path for a line of text: what is no UTF-8 in it, escaped."""
    return os.fspath(path).encode("utf-8", "backslashreplace").decode()
