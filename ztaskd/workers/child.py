"""The child's side: load the project once, then run one task after the other until the daemon is gone.

A plain interpreter: no gevent, no thread of ours, a session of its own. The socket to the daemon is its only one from
there; standard output and error are the log's.
"""

from __future__ import annotations

import ctypes
import fcntl
import logging
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from ztaskd import jsonlines, project, syspath
from ztaskd.workers import board, frames, output, sheet, turns

# prctl's numbers (linux/prctl.h).
PR_SET_PDEATHSIG, PR_SET_NAME = 1, 15

# The socket gets a number from this one on.
HIGH = 100

PAGE = os.sysconf("SC_PAGE_SIZE")


class Link:
    """The socket to the daemon. Threads of tasks log through it, too."""

    def __init__(self, fd: int) -> None:
        # Out of a careless task's way, and not for what it starts.
        try:
            high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, HIGH)
        except OSError:  # the limit of open files is as low as that
            high = os.dup(fd)
        os.close(fd)
        os.set_blocking(high, True)  # (the daemon's sockets are not)
        self._socket = socket.socket(fileno=high)
        self._lock = threading.Lock()
        self._feed = frames.Feed()
        self._waiting: list[bytes] = []

    def send(self, message: frames.FromChild) -> None:
        """(When the daemon is gone, nobody hears it: the next `receive` says so.)"""
        data = frames.pack(message)
        with self._lock, suppress(ConnectionError):
            self._socket.sendall(data)

    def receive(self) -> frames.Do | None:
        """The next task, or None when the daemon is gone."""
        while not self._waiting:
            try:
                data = self._socket.recv(65536)
            except ConnectionError:  # what we have said is lost with it
                return None
            if not data:
                return None
            self._waiting += self._feed.add(data)
        return frames.from_daemon.decode(self._waiting.pop(0))


_formatter = logging.Formatter()


class Lines(logging.Handler):
    """Log records of the child go to the daemon's log, under their task's id."""

    def __init__(self, link: Link) -> None:
        super().__init__()
        self._link = link

    def emit(self, record: logging.LogRecord) -> None:
        from django_ztask.execute import current_task

        task = current_task()
        try:
            text, extra = jsonlines.utf8(record.getMessage()), jsonlines.extra_of(record)
            exception = jsonlines.exception_of(record, _formatter)
            line = frames.Line(record.name, record.levelno, record.created, text, None, exception, extra)
            if task is not None:
                line = replace(line, task=task.id, function=task.function_name, attempt=task.attempt)
            self._link.send(line)
        except Exception:
            self.handleError(record)


def main() -> None:
    """Its arguments: its name, the daemon's process id, the log's level."""
    sheet.answer()
    shared = board.Writer()
    syspath.take_over()
    name, parent, level = sys.argv[1:]
    _follow_parent(int(parent), name)
    _note_signals()
    printed = output.Output(int(parent))
    signal.signal(signal.SIGUSR2, lambda number, frame: printed.follow())
    signal.signal(signal.SIGQUIT, lambda number, frame: None)  # (we end with the daemon)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, frames.GROUP_WIDE)
    link = Link(frames.FD)
    try:
        nice = _load(link, int(level))
    except project.Refusal as refusal:
        link.send(frames.Refused(str(refusal)))
        sys.exit(1)
    except BaseException:
        link.send(frames.Refused(traceback.format_exc()))
        sys.exit(1)
    link.send(frames.Ready())
    shared.listen()
    _serve(link, printed, nice)


def _follow_parent(parent: int, name: str) -> None:
    """Ends with the daemon, however that ends; carries its own name in `ps` and `top`."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_NAME, name.encode()[:15], 0, 0, 0)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before we could ask
        os._exit(1)


def _load(link: Link, level: int) -> int:
    """Returns how nice a child is to be: a value that is no good must not cost a task anything."""
    import django

    django.setup()
    handler = Lines(link)
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(handler)
        root.setLevel(level or 1)
    project.load_tasks()
    project.run_on_load()
    from django_ztask.conf import conf

    return conf.child_nice


def _serve(link: Link, printed: output.Output, nice: int) -> None:
    from django_ztask import crashpoints
    from ztaskd.cleaning import clean_connections
    from ztaskd.workers.coroutines import InChild

    coroutines = InChild()
    own = os.getpid()
    while (do := link.receive()) is not None:
        _early.clear()  # (of the task before)
        turns.give_way(nice)  # (not before: who waits for a child to come up waits for less)
        printed.follow()
        started, clock = time.time(), time.perf_counter()
        outcome = _run(do, coroutines)
        if os.getpid() != own:  # a fork of the task's, which returned from it as well
            os._exit(0)
        seconds = time.perf_counter() - clock
        clean_connections()
        crashpoints.reach("child-ended")
        link.send(frames.Done(outcome, started, seconds, _memory()))
        crashpoints.reach("child-sent")


def _run(do: frames.Do, coroutines: Any) -> Any:
    from django_ztask import execute

    limits = _limits(do.timeout, coroutines.strike)
    try:
        return execute.run(do.task, do.payload, do.mac, limits, coroutines.run, do.hidden)
    finally:  # (a signal may have come in the midst of the limits' own end)
        _note_signals()
        if do.timeout is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, lambda number, frame: None)


# What the daemon's signals ask for before the call has begun.
_early: list[type[BaseException]] = []


def _note_signals() -> None:
    """Outside of calls: what comes before one is raised in it; what comes after it is forgotten."""
    from django_ztask.errors import TaskCancelled, TaskInterrupted

    signal.signal(frames.INTERRUPT, lambda number, frame: _early.append(TaskInterrupted))
    signal.signal(frames.CANCEL, lambda number, frame: _early.append(TaskCancelled))


@contextmanager
def _limits(seconds: float | None, strike: Callable[[BaseException], None]) -> Iterator[None]:
    """Around the call alone, the daemon may interrupt or cancel it, and its soft limit is raised in it."""
    from django_ztask.errors import TaskCancelled, TaskInterrupted, TimeLimitExceeded

    def interrupt(number: int, frame: object) -> None:
        strike(TaskInterrupted("the node stops"))

    def cancel(number: int, frame: object) -> None:
        strike(TaskCancelled("somebody has cancelled it"))

    def ring(number: int, frame: object) -> None:
        strike(TimeLimitExceeded(f"the task ran longer than its timeout of {seconds:g} s"))

    signal.signal(frames.INTERRUPT, interrupt)
    signal.signal(frames.CANCEL, cancel)
    if seconds is not None:
        signal.signal(signal.SIGALRM, ring)
        signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        if _early:
            raise _early[0]("it came before the call")
        yield
    finally:
        if seconds is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
        _note_signals()


def _memory() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


if __name__ == "__main__":
    main()
