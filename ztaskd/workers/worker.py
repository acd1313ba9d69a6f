"""The daemon's side of one child: started, given a task, waited for in a greenlet, killed, buried."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from contextlib import suppress
from typing import Any

import gevent
from gevent import monkey, socket
from gevent.event import Event

from django_ztask import progress
from django_ztask.execute import CurrentTask
from django_ztask.rows import Claimed
from ztaskd import syspath
from ztaskd.workers import board, frames, sheet

socketpair = monkey.get_original("socket", "socketpair")

# Seconds for which a child that has closed its socket is waited for.
PATIENCE = 5.0


class WorkerDied(Exception):
    """The child is gone. `code`: its exit status as subprocess has it (a negative one: the signal)."""

    def __init__(self, code: int | None) -> None:
        super().__init__(describe(code))
        self.code = code


class WorkerRefused(Exception):
    """The project does not load in the child; the text says why."""


def describe(code: int | None) -> str:
    """How a process ended, for people."""
    if code is None:
        return "it does not end"
    if code >= 0:
        return f"it ended with code {code}"
    try:
        return f"it was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"it was ended by signal {-code}"


class Worker:
    """One child process. Every method is for the hub's thread (PR_SET_PDEATHSIG follows the thread that spawned)."""

    def __init__(self, name: str, level: int) -> None:
        self.name = name
        self.tasks = 0  # that it has run
        self.memory = 0  # its RSS in bytes, after the last of them
        self.idle_since = 0.0  # monotonic
        self.code: int | None = None  # its exit status, as subprocess has it, when it is gone
        self.current: tuple[Claimed | None, float] = None, 0.0  # its task, since when (time.monotonic())
        self._sheet = sheet.Sheet()
        self._board = board.Board()
        self._feed = frames.Feed()
        self._waiting: list[bytes] = []
        self._gone = Event()
        loop = gevent.get_hub().loop
        loop.install_sigchld()  # (from here on libev waits for all children, as it does once a task starts one)
        ours, theirs = socketpair()
        with theirs, self._board.handed() as shared:
            self.pid = _spawn(name, level, theirs.fileno(), self._sheet.fd, shared)
        self._socket = socket.socket(fileno=ours.detach())
        self._watcher = loop.child(self.pid, ref=False)
        self._watcher.start(self._ended)

    def wait_ready(self) -> None:
        """Returns when it takes tasks. Raises WorkerDied, or WorkerRefused."""
        message = self._next()
        if isinstance(message, frames.Refused):
            raise WorkerRefused(message.reason)

    def run(self, task: Claimed, timeout: float | None) -> frames.Done:
        """One attempt in the child. Raises WorkerDied."""
        self.current = task, time.monotonic()
        current = CurrentTask(task.id, task.function_name, task.attempt, task.retries_left)
        with suppress(OSError):  # (it is dead: what it leaves behind says so)
            self._socket.sendall(
                frames.pack(frames.Do(current, task.payload, task.mac, timeout, task.hidden))
            )
        return self.wait_done()

    def wait_done(self) -> frames.Done:
        """The end of what it runs. Raises WorkerDied."""
        message = self._next()
        while not isinstance(message, frames.Done):
            message = self._next()
        self.tasks += 1
        self.memory = message.memory
        return message

    def interrupt(self, number: int = frames.INTERRUPT) -> None:
        """Raises TaskInterrupted (or what frames.CANCEL stands for) in what it runs."""
        if self.code is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def ask_stack(self) -> None:
        """What does it execute? (In any thread; only of one that has taken a task.)"""
        self._sheet.wipe()
        if self.code is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGUSR1)

    def read_stack(self) -> str:
        """What it has answered so far."""
        return self._sheet.read()

    def _next(self) -> Any:
        """The next message that is no line of the log."""
        while True:
            while not self._waiting:
                try:
                    data = self._socket.recv(65536)
                except OSError:
                    data = b""
                if not data:
                    raise WorkerDied(self.bury())
                self._waiting += self._feed.add(data)
            message = frames.from_child.decode(self._waiting.pop(0))
            if not isinstance(message, frames.Line):
                return message
            _log(message, self.pid)

    def pass_on_progress(self) -> None:
        """To whoever hears it in this process: what a task has said last of how far it is. (Its child may be gone.)"""
        if (said := self._board.read()) is not None:
            progress.hear(said.task, said.attempt, said.progress)

    def is_alive(self) -> bool:
        """False when it has ended while nobody looked."""
        return self.code is None

    def kill(self) -> None:
        """At once, and what it has started in its session along with it. (Never when it is gone: its number may be
        another's.)"""
        if self.code is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def stop(self) -> None:
        """Ends when it has finished what it runs: its next receive finds nobody."""
        self._socket.close()

    def bury(self) -> int | None:
        """Waits until the process is gone. Returns its exit status, or None when it does not go."""
        self._socket.close()
        self._gone.wait(PATIENCE)
        return self.code

    def _ended(self) -> None:
        """What it has said is read to its end; a process that it has left behind may hold the socket open."""
        self.code = os.waitstatus_to_exitcode(self._watcher.rstatus)
        self._watcher.close()
        self._gone.set()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RD)


def _spawn(name: str, level: int, fd: int, paper: int, shared: int) -> int:
    """Starts the child, whose descriptor 3 is `fd`, 4 is `paper` and 5 is `shared`. (gevent's own subprocess would fork, in Python, beside threads;
    and the standard library's cannot be used once gevent is patched in.) Returns its process id."""
    return os.posix_spawn(
        sys.executable,
        [sys.executable, "-u", "-m", "ztaskd.workers.child", name, str(os.getpid()), str(level)],
        syspath.hand_over(os.environ),
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, fd, frames.FD),
            (os.POSIX_SPAWN_DUP2, paper, sheet.FD),
            (os.POSIX_SPAWN_DUP2, shared, board.FD),
        ],
        setsid=True,
        setsigmask=frames.GROUP_WIDE,
        setsigdef=[signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGALRM],
    )


def _log(line: frames.Line, pid: int) -> None:
    """A child's line, as its own logger would have written it here."""
    logger = logging.getLogger(line.name)
    text = line.text if line.task is None else f"task {line.task}: {line.text}"
    if line.exception:
        text += f"\n{line.exception}"
    record = logger.makeRecord(line.name, line.level, "", 0, text, (), None)
    record.created = line.created
    record.msecs = (line.created % 1) * 1000
    record.from_child = line, pid  # (for JSON)
    logger.handle(record)
