"""The program: parse, patch gevent in before anything else is imported, boot. Nothing happens at import."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
from typing import NoReturn


def main() -> NoReturn:
    """The console script `ztaskd`, and `python -m ztaskd`."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop_booting)
    signal.signal(signal.SIGUSR1, lambda number, frame: None)  # until there is something to report
    from ztaskd import cli, syspath

    syspath.take_over()

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


if __name__ == "__main__":
    main()
