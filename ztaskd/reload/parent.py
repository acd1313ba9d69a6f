"""The parent: a small process that owns the watcher and the daemons, and boots new code before the old lets go.

Everything happens in one loop, in the main thread: signals, changes of code, what the daemons say, and their ends.
"""

from __future__ import annotations

import argparse
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ztaskd import lastwords
from ztaskd.again import MINDED, program
from ztaskd.cli import Exit
from ztaskd.notify import BOOT_STEP, manager
from ztaskd.pidfile import written
from ztaskd.project import Refusal
from ztaskd.reload import say
from ztaskd.reload.folders import folders_of_project
from ztaskd.reload.reloader import Reloader
from ztaskd.reload.watching import Watcher
from ztaskd.terminal import Terminal

# One stop request often arrives twice at once, from a terminal and from who passes it on.
SAME_REQUEST = 0.1

# Seconds before systemd is told once more what it had no room for.
HEARD = 0.1


def run(options: argparse.Namespace) -> int:
    """The whole life of the parent. Returns the exit code."""
    try:
        say.open_log(options.logfile, options.loglevel, options.log_format)
    except OSError as error:
        return _refuse(Exit.USAGE, f"--logfile: cannot write {options.logfile}: {error.strerror}")
    try:
        with written(options.pidfile):
            return Parent(options).run()
    except Refusal as refusal:
        return _refuse(refusal.code, str(refusal))


def _refuse(code: Exit, reason: str) -> Exit:
    say.to_terminal(reason)
    return code


class Parent:
    """The loop, and what comes in."""

    def __init__(self, options: argparse.Namespace) -> None:
        path = [*filter(None, [options.pythonpath]), *sys.path]
        code = folders_of_project(
            path, (), Path.cwd(), say.logger.log
        )  # (more is known when a daemon is loaded)
        self.watcher = Watcher(code.folders, code.files, poll=options.reload_poll, say=say.logger.log)
        self.selector = selectors.DefaultSelector()
        self.reloader = Reloader(options.reload_grace, self.watcher, self)
        self.terminal = Terminal()
        self._signalled: list[int] = []
        self._last_stop = float("-inf")

    def run(self) -> int:
        self._watch_signals()
        self.watcher.start()
        self.selector.register(self.watcher.fileno(), selectors.EVENT_READ, self._changed)
        try:
            self.reloader.begin()
            if program.hung_up:
                self.reloader.changed(frozenset())
            while not self.reloader.over():
                for key, _ in self.selector.select(self._wait())[:1]:  # (it may undo the others)
                    key.data()
                self.reloader.tick()
            return self.reloader.code
        finally:
            self.watcher.stop()

    def _wait(self) -> float | None:
        """Seconds until there is something to do. While nobody serves, the sign of life is ours to give."""
        waits = [wait for wait in (self.reloader.wait(),) if wait is not None]
        if not manager.is_heard() and not manager.alive():
            waits.append(HEARD)
        elif manager.watchdog is not None and self.reloader.serving is None:
            manager.alive()
            waits.append(manager.watchdog / 2)
        return min(waits, default=None)

    def listen(self, file: Any, callback: Callable[[], None]) -> None:
        self.selector.register(file, selectors.EVENT_READ, callback)

    def unlisten(self, file: Any) -> None:
        self.selector.unregister(file)

    def _changed(self) -> None:
        if paths := self.watcher.take():
            self.reloader.changed(paths)

    # -- signals ------------------------------------------------------------------------------------

    def _watch_signals(self) -> None:
        """The handlers only note; the descriptor wakes the loop."""
        readable, writable = socket.socketpair()
        for end in (readable, writable):
            end.setblocking(False)
        signal.set_wakeup_fd(writable.detach())
        self.listen(readable, lambda: self._obey(readable))
        for number in MINDED:
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, lambda number, frame: self._signalled.append(number))

    def _obey(self, readable: socket.socket) -> None:
        readable.recv(4096)
        while self._signalled:
            number = self._signalled.pop(0)
            if number == signal.SIGUSR1:
                for child in self.reloader.all():
                    child.report()
            elif number == signal.SIGUSR2:
                say.reopen()
                for child in self.reloader.all():
                    child.signal(number)
            elif number == signal.SIGQUIT:
                say.logger.warning("QUIT: %s", lastwords.AT_ONCE)
                self.reloader.stop_at_once(number)
            elif number == signal.SIGHUP and not self.terminal.is_gone():
                say.logger.info("HUP: reloading")
                manager.reloading(BOOT_STEP + self.reloader.grace)
                self.reloader.changed(frozenset())
            else:
                self._stop()

    def _stop(self) -> None:
        now, last = time.monotonic(), self._last_stop
        self._last_stop = now
        if not self.reloader.stopping:
            self.reloader.stop()
        elif now > last + SAME_REQUEST:
            self.reloader.stop_at_once()
