"""Where log lines and what tasks print go: a file that may be rotated, or standard output. A full disk or
a closed pipe costs lines, never work.
"""

from __future__ import annotations

import io
import logging
import os
import sys
from logging.handlers import WatchedFileHandler
from typing import Any

FORMAT = "%(asctime)s %(name)s %(levelname)s %(message)s"


class Output(io.TextIOBase):
    """sys.stdout and sys.stderr of the daemon: unbuffered, and a full disk or a closed pipe costs the
    text, never the task that printed it."""

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def write(self, text: str) -> int:
        data = text.encode("utf-8", "backslashreplace")
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError:
            pass
        return len(text)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._fd

    def isatty(self) -> bool:
        return os.isatty(self._fd)


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
