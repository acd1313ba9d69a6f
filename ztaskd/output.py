"""Where log lines and what tasks print go: a file that may be rotated, or standard output. A full disk or
a closed pipe costs lines, never work.
"""

from __future__ import annotations

import io
import logging
import os
import select
import stat
import sys
from logging.handlers import WatchedFileHandler
from typing import Any

from gevent import monkey

# Bytes that a pipe which is ready takes without blocking.
CHUNK = 4096

# Milliseconds for which the hub waits for a reader of standard output that does not keep up.
PATIENCE = 200

FORMAT = "%(asctime)s %(name)s %(levelname)s %(message)s"


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
                data = data[os.write(self._fd, data[:CHUNK]) :]
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

    def write(self, data: Any) -> int:
        self._output.write_bytes(bytes(data))
        return len(data)


class LogFile(WatchedFileHandler):
    """The -f file: opened anew when it was rotated away; stdout and stderr follow it. What cannot be
    written is counted and said when there is room again."""

    def __init__(self, path: str) -> None:
        self.dropped = 0
        super().__init__(path, encoding="utf-8", errors="backslashreplace")
        self._redirect()

    def emit(self, record: logging.LogRecord) -> None:
        dropped = self.dropped
        try:
            super().emit(record)
            if dropped and self.dropped == dropped:
                self.dropped = 0
                super().emit(_lost(dropped))
        except Exception:
            self.handleError(record)

    def reopenIfNeeded(self) -> None:
        before = self.stream
        super().reopenIfNeeded()
        if self.stream is not before:
            self._redirect()

    def handleError(self, record: logging.LogRecord) -> None:
        self.dropped += 1

    def _redirect(self) -> None:
        if self.stream is not None:
            os.dup2(self.stream.fileno(), 1)
            os.dup2(self.stream.fileno(), 2)


def _lost(lines: int) -> logging.LogRecord:
    text = f"{lines} line(s) before this one were lost: the log could not be written"
    return logging.LogRecord("ztaskd", logging.WARNING, __file__, 0, text, None, None)


class Console(logging.StreamHandler[Any]):
    """Standard output, where a reader that is gone costs lines, never work."""

    def handleError(self, record: logging.LogRecord) -> None:
        pass


def open_standard_descriptors() -> None:
    """rc.local may close 0, 1 and 2: then the next socket would become our standard output."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def open_log(path: str | None) -> logging.Handler:
    """The handler for -f PATH, or for standard output. Raises OSError when PATH cannot be written."""
    handler = LogFile(path) if path else Console(Output(1))
    sys.stdout, sys.stderr = Output(1), Output(2)
    handler.setFormatter(logging.Formatter(FORMAT))
    return handler
