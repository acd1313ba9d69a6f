"""The program: parse, patch gevent in before anything else is imported, boot. Nothing happens at import."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

from ztaskd import lastwords
from ztaskd.reload.protocol import VARIABLE

if TYPE_CHECKING:
    from ztaskd.reload.link import Link


def main() -> NoReturn:
    """The console script `ztaskd`, and `python -m ztaskd`."""
    _open_standard_descriptors()
    link = _link()  # from here on we end when the reloader ends
    _mind_signals()
    from ztaskd import cli, syspath
    from ztaskd.again import AGAIN, program
    from ztaskd.notify import manager

    manager.take(os.environ, AGAIN in os.environ)
    if link is not None and link.notify is not None:
        manager.use(link.pass_on, **link.notify)
    syspath.take_over()
    program.remember()
    options = cli.parse(program.arguments)
    if program.is_again and options.pidfile:
        program.inherit(options.pidfile)
    if program.is_again or (link is not None and not link.replay):
        options.replayfailed = False  # it was done the first time
    if options.command:
        from ztaskd import commands

        sys.exit(commands.run(options))
    if link is None and not (options.noreload or options.check):
        from ztaskd.reload import parent

        sys.exit(parent.run(options))
    from ztaskd import patching

    patching.patch()
    from ztaskd import boot

    code = boot.run(options, link)
    # Without the interpreter's own end: it would wait for every executor that a task has left behind.
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, gone, or never there
            stream.flush()
    program.leave(code)


def _mind_signals() -> None:
    """Until somebody else does."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop_booting)
    signal.signal(signal.SIGQUIT, _quit_booting)
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, lambda number, frame: None)  # until there is something to report, or a log


def _open_standard_descriptors() -> None:
    """rc.local may close 0, 1 and 2: then libev, libzmq or a socket would get the numbers, and what is printed."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def _link() -> Link | None:
    """Our way to the reloader, if it has started us. (Nothing else imports ctypes and the rest so early.)"""
    if VARIABLE not in os.environ:
        return None
    from ztaskd.reload.link import Link

    return Link.take()


def _stop_booting(number: int, frame: object) -> None:
    """Until the node takes over the signals there is nothing to drain."""
    sys.exit(0)


def _quit_booting(number: int, frame: object) -> None:
    lastwords.say("QUIT: stopped at once", level="WARNING")
    os._exit(1)


if __name__ == "__main__":
    main()
