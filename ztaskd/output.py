"""Where log lines and what tasks print go: a file that may be rotated, or standard output. A full disk or
a closed pipe costs lines, never work.
"""

from __future__ import annotations

import fcntl
import io
import logging
import os
import select
import stat
import sys
from typing import Any

from gevent import monkey

from ztaskd.gathering import Formatter, Gathering, Lines, Look
from ztaskd.reopening import Reopening

# Bytes that a pipe which is ready takes without blocking.
CHUNK = 4096

# Milliseconds for which the hub waits for a reader of standard output that does not keep up.
PATIENCE = 200

# Duplicates of the standard descriptors get numbers from this one on, out of a careless task's way.
HIGH = 100


class Standard:
    """Descriptors 0 to 2, which a task may close or replace: a duplicate of each is kept from `keep` on."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[int, tuple[int, int]]] = {}
        self._where: list[tuple[int, int]] = []

    def keep(self) -> None:
        """From now on. (Twice is fine.)"""
        for fd in (0, 1, 2):
            if fd not in self._kept:
                self._kept[fd] = _duplicate(fd), _identity(fd)
        self._note()

    def duplicate(self, fd: int) -> int:
        """Leads where `fd` should, whatever a task does to that."""
        return self._kept[fd][0]

    def follow(self) -> None:
        """1 and 2 lead elsewhere from now on."""
        for fd in (1, 2):
            if fd in self._kept:
                duplicate = os.dup2(fd, self._kept[fd][0], inheritable=False)
                self._kept[fd] = duplicate, _identity(fd)
        self._note()

    def _note(self) -> None:
        """Most often all of them lead where they should: that is one comparison."""
        self._where = [was for _, was in self._kept.values()]

    def seem_untouched(self) -> bool:
        """False when one of them was closed, or closed and taken by what is not for children (as all is that
        Python opens). Cheaper than `changed`: nothing in it lets go of the interpreter's lock."""
        try:
            return all(map(os.get_inheritable, self._kept))
        except OSError:
            return False

    def changed(self) -> list[int]:
        """Those that do not lead where they should, and may be put back."""
        try:
            if [os.fstat(fd)[1:3] for fd in self._kept] == self._where:
                return []
        except OSError:
            pass
        return [fd for fd, (_, was) in self._kept.items() if _identity(fd) != was and not _is_in_use(fd)]

    def put_back(self, fd: int) -> None:
        os.dup2(self._kept[fd][0], fd)


standard = Standard()


def _duplicate(fd: int) -> int:
    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, HIGH)
    except OSError:  # the limit of open files is as low as that
        return os.dup(fd)


def _identity(fd: int) -> tuple[int, int]:
    try:
        return os.fstat(fd)[1:3]  # inode and device
    except OSError:
        return -1, -1


def _is_in_use(fd: int) -> bool:
    """True when a socket or the like got the number after it was closed: libzmq aborts the process when
    its own is taken away. (What is opened is closed on exec; what was put there on purpose is not.)"""
    try:
        mode = os.fstat(fd).st_mode
        opened = fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    except OSError:
        return False
    return bool(opened) and not (stat.S_ISREG(mode) or stat.S_ISCHR(mode))


class Output(io.TextIOBase):
    """sys.stdout and sys.stderr of the daemon: unbuffered. A full disk, a closed pipe, or a reader that
    stands still (Ctrl-S, a stuck log shipper) costs the text, never the task that printed it, nor the hub.
    """

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._patience = PATIENCE
        self.buffer = _Bytes(self)
        # What may block is asked first. (The native poll: this is no place to yield to the hub.)
        self._poll = None
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            self._poll = monkey.get_original("select", "poll")()
            self._poll.register(fd, select.POLLOUT)

    def write(self, text: str) -> int:
        self.write_bytes(text.encode("utf-8", "backslashreplace"))
        return len(text)

    def write_bytes(self, data: bytes) -> None:
        try:
            while data and self._is_ready():
                data = data[os.write(self._fd, data if self._poll is None else data[:CHUNK]) :]
        except OSError:
            pass

    def _is_ready(self) -> bool:
        """A slow reader is waited for, once; one that did not move then is not waited for again."""
        if self._poll is None:
            return True
        ready = bool(self._poll.poll(self._patience))
        self._patience = PATIENCE if ready else 0
        return ready

    def writable(self) -> bool:
        return True

    def close(self) -> None:
        """It is not a task's to close."""

    def fileno(self) -> int:
        return self._fd

    def isatty(self) -> bool:
        return os.isatty(self._fd)


class _Bytes(io.RawIOBase):
    """sys.stdout.buffer."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def writable(self) -> bool:
        return True

    def close(self) -> None:
        """It is not a task's to close."""

    def write(self, data: Any) -> int:
        self._output.write_bytes(bytes(data))
        return len(data)


class LogFile(Gathering, Reopening):
    """The -f file: opened anew when it was rotated away; stdout and stderr follow it. What cannot be
    written is counted and said when there is room again."""

    def __init__(self, path: str, look: Look) -> None:
        self.dropped = 0
        Gathering.__init__(self, look)
        Reopening.__init__(self, path)
        self.opened()

    def emit(self, record: logging.LogRecord) -> None:
        dropped = self.dropped
        try:
            super().emit(record)
            if dropped and self.dropped == dropped:
                self.dropped = 0
                super().emit(_lost(dropped))
        except Exception:
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:
        self.dropped += record.count if isinstance(record, Lines) else 1

    def opened(self) -> None:
        if self.stream is not None:
            os.dup2(self.stream.fileno(), 1)
            os.dup2(self.stream.fileno(), 2)
            standard.follow()


def _lost(lines: int) -> logging.LogRecord:
    text = f"{lines} line(s) before this one were lost: the log could not be written"
    return logging.LogRecord("ztaskd", logging.WARNING, __file__, 0, text, None, None)


class Console(Gathering, logging.StreamHandler[Any]):
    """Standard output, where a reader that is gone costs lines, never work."""

    def __init__(self, stream: Any, look: Look | None = None) -> None:
        Gathering.__init__(self, look)
        logging.StreamHandler.__init__(self, stream)

    def handleError(self, record: logging.LogRecord) -> None:
        pass


def open_log(path: str | None, look: Look | None = None) -> LogFile | Console:
    """The handler for -f PATH, or for standard output. Raises OSError when PATH cannot be written."""
    look = look or Formatter()
    handler = LogFile(path, look) if path else Console(Output(1), look)
    sys.stdout, sys.stderr = Output(1), Output(2)
    handler.setFormatter(look)
    return handler
