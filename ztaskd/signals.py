"""TERM and INT, which stop the node, QUIT, which ends it, HUP, which asks for new code, and USR2, for a log file that is
opened anew. Handlers may run inside any task: they only count, and wake the hub.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

import gevent

from ztaskd import lastwords, logs
from ztaskd.again import MINDED, program
from ztaskd.cli import Exit
from ztaskd.terminal import Terminal

# One stop request often arrives twice at once: from a terminal or a `timeout` to the process group, and
# from a parent that passes it on. A second one within these seconds is the first.
SAME_REQUEST = 0.1


class Signals:
    """`stop` and `renew` are called on the hub; `stop` also when the terminal is closed. `leaving`: who wants to know
    that the process ends at once."""

    def __init__(
        self, stop: Callable[[], None], renew: Callable[[], None], leaving: Callable[[], None] | None = None
    ) -> None:
        self.stops = 0
        self._stop = stop
        self._renew = renew
        self._leaving = leaving
        self._reopen = False
        self._hung_up = program.hung_up
        self._terminal = Terminal()
        self._last = float("-inf")
        self._wake = gevent.get_hub().loop.async_()

    def watch(self) -> None:
        """From now on."""
        self._wake.start(self._tell)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._count)
        signal.signal(signal.SIGQUIT, self._quit)
        os.register_at_fork(after_in_child=_forget)
        signal.signal(signal.SIGUSR2, self._note_log)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # (nohup means it)
            signal.signal(signal.SIGHUP, self._note)
        self._hung_up = self._hung_up or program.hung_up
        self._wake.send()

    def stop_in(self, seconds: float) -> None:
        """What TERM asks for, without a signal. (The first one that comes then is still the first.)"""
        program.stopped = True
        gevent.spawn_later(seconds, self._stop)

    def _count(self, number: int, frame: object) -> None:
        """The second signal does not wait for the hub: a task may be hogging it."""
        program.stopped = True  # whatever HUP has asked for
        now = time.monotonic()
        if now > self._last + SAME_REQUEST:
            self.stops += 1
        self._last = now
        if self.stops > 1:
            _leave("second signal")
        self._wake.send()

    def _quit(self, number: int, frame: object) -> None:
        """(With a core, Python's own way, nobody would be helped.)"""
        program.stopped = True
        if self._leaving is not None:
            with suppress(Exception):
                self._leaving()
        _leave("QUIT")

    def _note_log(self, number: int, frame: object) -> None:
        self._reopen = True
        self._wake.send()

    def _note(self, number: int, frame: object) -> None:
        self._hung_up = True
        self._wake.send()

    def _tell(self) -> None:
        if self._reopen:
            self._reopen = False
            gevent.spawn(logs.reopen)  # (it may wait for the log's lock)
        if self.stops:
            self._stop()
        if self._hung_up:
            self._hung_up = False
            if self._terminal.is_gone():
                program.stopped = True  # whatever a former HUP has asked for
                self._stop()
            elif not self.stops:
                self._renew()


def _leave(why: str) -> NoReturn:
    program.forget_pidfile()
    lastwords.leave(why, Exit.CRASH)


def _forget() -> None:
    """What a task forks is not the daemon: a signal for it ends it (multiprocessing's terminate()), and rings no bell
    of ours."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in MINDED - {signal.SIGINT}:
        signal.signal(number, signal.SIG_DFL)
