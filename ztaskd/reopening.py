"""A log file that is opened anew: when its name leads elsewhere (before each line), and when USR2 asks for it. The
daemon's and the reloader's; it imports neither.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from logging.handlers import WatchedFileHandler


class Reopening(WatchedFileHandler):
    """While the file cannot be opened anew, lines go on where they went, and one of them says why. When that is nowhere
    any more (the old file was deleted), they are lost."""

    def __init__(self, path: str) -> None:
        self._said = ""
        super().__init__(path, encoding="utf-8", errors="backslashreplace")

    def opened(self) -> None:
        """`stream` is another one: hook of who wants to know."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
        except OSError:
            self.handleError(record)

    def reopen(self) -> bool:
        """Whatever its name leads to. False: it could not be."""
        self._said = ""
        self.acquire()
        try:
            return self._renew()
        except OSError:  # (there is no place to say so: the lines that are lost are counted)
            return False
        finally:
            self.release()

    def reopenIfNeeded(self) -> None:
        """Raises OSError when there is nowhere to write to."""
        try:
            found = os.stat(self.baseFilename)
        except OSError:
            found = None
        if self.stream is None or found is None or (found.st_dev, found.st_ino) != (self.dev, self.ino):
            self._renew()

    def _renew(self) -> bool:
        try:
            stream = self._open()
        except OSError as error:
            if self.stream is None or not os.fstat(self.stream.fileno()).st_nlink:
                raise
            self._say(error)
            return False
        before, self.stream = self.stream, stream
        self._statstream()
        self._said = ""
        if before is not None:
            with suppress(OSError):  # (a full disk: what it has kept for better times)
                before.close()
        self.opened()
        return True

    def _say(self, error: OSError) -> None:
        reason = error.strerror or str(error)
        if reason == self._said:
            return
        self._said = reason
        text = f"the log file {self.baseFilename} cannot be opened anew, the old one goes on: {reason}"
        record = logging.LogRecord("ztaskd", logging.ERROR, __file__, 0, text, None, None)
        logging.StreamHandler.emit(self, record)
