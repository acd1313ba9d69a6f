"""Name <-> task function, and how task functions are found. Only what @task() registered is ever run."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import threading
from typing import TYPE_CHECKING, Any

from django_ztask.errors import NotImportable, TaskInterrupted, UnknownTask

if TYPE_CHECKING:
    from collections.abc import Callable

    from django_ztask.decorators import TaskFunction

_importing = threading.RLock()
_functions: dict[str, TaskFunction[..., Any]] = {}


def register(function: TaskFunction[..., Any]) -> None:
    """Makes `function` known under its name. A module that is imported again replaces its own.

    Raises ValueError when another function has taken the name already.
    """
    known = _functions.get(function.name)
    if known is not None:
        theirs, ours = _place(known.function), _place(function.function)
        # (A script that runs as __main__ and is imported by its own name as well meets itself.)
        if theirs != ours and not theirs.startswith("__main__.") and not ours.startswith("__main__."):
            raise ValueError(
                f"the task name {function.name!r} is taken by {theirs}: give {ours} another with @task(name=...)"
            )
    _functions[function.name] = function


def knows(name: str) -> bool:
    """Whether there is a task function of that name already."""
    return name in _functions


def find(name: str) -> TaskFunction[..., Any]:
    """The task function of that name: a registered one, else its module is imported to look for it there.

    Raises UnknownTask, with the reason; whatever the import raised is its cause.
    """
    function = _functions.get(name)
    if function is not None:
        return function
    # One at a time: a greenlet that looked at a half imported module would find no task function in it.
    with _importing:
        return _import(name)


def _import(name: str) -> TaskFunction[..., Any]:
    module = name.rpartition(".")[0]
    while module:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name is None or not (module + ".").startswith(error.name + "."):
                raise UnknownTask(f"{name}: importing {module} failed: {error}") from error
            module = module.rpartition(".")[0]
            continue
        except TaskInterrupted:  # the node stops, and the import happened to wait
            raise
        except BaseException as error:  # a module may even call sys.exit()
            raise UnknownTask(f"{name}: importing {module} failed: {error!r}") from error
        break
    function = _functions.get(name)
    if function is None:
        where = f"{module} has no @task() of that name" if module else "there is no such module"
        raise UnknownTask(f"{name}: {where}")
    return function


def importable_name(function: Callable[..., Any]) -> str:
    """The dotted name under which a node can import `function`.

    Raises NotImportable, with a hint, for lambdas, functions inside functions, and functions of a script
    run as `__main__` that no entry of sys.path leads to.
    """
    qualname = function.__qualname__
    if "<" in qualname:
        raise NotImportable(
            f"{function.__module__}.{qualname} lives inside another function (or is a lambda): a node cannot "
            "import it. Move it to the top of a module."
        )
    if function.__module__ != "__main__":
        return f"{function.__module__}.{qualname}"
    module = _name_of_main()
    if module is None:
        raise NotImportable(
            f"{qualname} is defined in the script that runs as __main__, and no entry of sys.path leads to "
            "it: a node could not import it. Move it to a module of the project, for instance tasks.py."
        )
    return f"{module}.{qualname}"


def _name_of_main() -> str | None:
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None:  # python -m package.module
        return str(spec.name)
    path = getattr(main, "__file__", None)
    if path is None or not path.endswith(".py"):
        return None
    path = os.path.realpath(path)
    # The longest name first: a script inside a package is best imported through the package.
    names = {name for entry in [*sys.path, os.getcwd()] if (name := _relative(path, entry))}
    return next((name for name in sorted(names, key=len, reverse=True) if _leads_to(name, path)), None)


def _relative(path: str, entry: str) -> str | None:
    root = os.path.realpath(entry or os.getcwd())
    if not path.startswith(root + os.sep):
        return None
    parts = path[len(root) + 1 : -len(".py")].split(os.sep)
    return ".".join(parts) if all(part.isidentifier() for part in parts) else None


def _leads_to(name: str, path: str) -> bool:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return False
    return spec is not None and spec.origin is not None and os.path.realpath(spec.origin) == path


def _place(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{function.__qualname__}"
