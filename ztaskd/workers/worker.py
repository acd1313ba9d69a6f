"""The daemon's side of one child: started, given a task, waited for in a greenlet, killed, buried."""

from __future__ import annotations

import logging
import os
import signal
import socket as sockets
import sys
from contextlib import suppress
from typing import Any

import gevent
from gevent import monkey, socket

from django_ztask.execute import CurrentTask
from django_ztask.rows import Claimed
from ztaskd.workers import frames

# The standard library's own: gevent's forks in Python code, with threads beside it.
Popen = monkey.get_original("subprocess", "Popen")

# Seconds between two looks whether a child whose socket is closed has ended, and for how long.
GONE, PATIENCE = 0.005, 5.0


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
        self._feed = frames.Feed()
        self._waiting: list[bytes] = []
        ours, theirs = sockets.socketpair()
        with theirs:
            self._process = Popen(
                [
                    sys.executable,
                    *("-m", "ztaskd.workers.child", "--name", name, "--fd", str(theirs.fileno())),
                    *("--parent", str(os.getpid()), "--level", str(level)),
                ],
                stdin=-3,  # /dev/null
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        self._socket = socket.socket(fileno=ours.detach())

    @property
    def pid(self) -> int:
        return int(self._process.pid)

    def wait_ready(self) -> None:
        """Returns when it takes tasks. Raises WorkerDied, or WorkerRefused."""
        message = self._next()
        if isinstance(message, frames.Refused):
            raise WorkerRefused(message.reason)

    def run(self, task: Claimed, timeout: float | None) -> frames.Done:
        """One attempt in the child. Raises WorkerDied."""
        current = CurrentTask(task.id, task.function_name, task.attempt, task.retries_left)
        with suppress(OSError):  # (it is dead: what it leaves behind says so)
            self._socket.sendall(frames.pack(frames.Do(current, task.payload, task.mac, timeout)))
        message = self._next()
        while not isinstance(message, frames.Done):
            message = self._next()
        self.tasks += 1
        self.memory = message.memory
        return message

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
            _log(message)

    def kill(self) -> None:
        """At once, and what it has started in its session along with it."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def stop(self) -> None:
        """Ends when it has finished what it runs: its next receive finds nobody."""
        self._socket.close()

    def bury(self) -> int | None:
        """Waits until the process is gone. Returns its exit status, or None when it does not go."""
        self._socket.close()
        for _ in range(int(PATIENCE / GONE)):
            code = self._process.poll()
            if code is not None:
                return int(code)
            gevent.sleep(GONE)
        return None


def _log(line: frames.Line) -> None:
    """A child's line, as its own logger would have written it here."""
    logger = logging.getLogger(line.name)
    text = line.text if line.task is None else f"task {line.task}: {line.text}"
    record = logger.makeRecord(line.name, line.level, "", 0, text, (), None)
    record.created = line.created
    record.msecs = (line.created % 1) * 1000
    logger.handle(record)
