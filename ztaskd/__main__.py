"""The program: parse, patch gevent in before anything else is imported, boot. Nothing happens at import."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import sys
from typing import NoReturn


def main() -> NoReturn:
    """The console script `ztaskd`, and `python -m ztaskd`."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop_booting)
    _take_over_path()
    from ztaskd import cli

    options = cli.parse(sys.argv[1:])
    if options.command:
        from ztaskd import commands

        sys.exit(commands.run(options))
    from ztaskd import patching

    patching.patch()
    from ztaskd import boot

    code = boot.run(options)
    # Without the interpreter's own end: it would wait for every executor that a task has left behind.
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, gone, or never there
            stream.flush()
    os._exit(code)


def _stop_booting(number: int, frame: object) -> None:
    """Until the node takes over the signals there is nothing to drain."""
    sys.exit(0)


def _take_over_path() -> None:
    """The sys.path of the manage.py that started us; its variables are not for what tasks start."""
    path = os.environ.pop("ZTASKD_SYS_PATH", None)
    if path is not None:
        sys.path[:] = json.loads(path)
    pythonpath = os.environ.pop("ZTASKD_PYTHONPATH", None)
    if pythonpath:
        os.environ["PYTHONPATH"] = pythonpath
    elif pythonpath is not None:
        os.environ.pop("PYTHONPATH", None)


if __name__ == "__main__":
    main()
