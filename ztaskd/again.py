"""How this very program is started once more: as the reloader's child, for a pre-flight, or in our place with the
same process id. What it was started with is kept for that before anything can change it.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from ztaskd import syspath
from ztaskd.notify import manager

# What tells the program that it takes its own place.
AGAIN = "ZTASKD_AGAIN"

# Signals that the program minds from its first moment on. (main() has set its handlers when they are let in.)
MINDED = {
    *(signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2),
}

# Kept descriptors get numbers from this one on, out of a careless task's way.
HIGH = 100


class Program:
    """The one we are. `wanted`: its end is to be followed by a new beginning; unless it is `stopped`."""

    def __init__(self) -> None:
        self.arguments: list[str] = []
        self.is_again = False
        self.wanted = self.stopped = False
        self.hung_up = False  # HUP came before there was anybody to mind it
        self._environment: dict[str, str] = {}
        self._output: dict[int, int] = {}  # 1 and 2: where they led
        self._folder: int | None = None  # where it was started
        self.pidfile: Path | None = None  # names us; left by our former self, or to what comes after us

    def remember(self) -> None:
        """Once, as early as can be."""
        self.arguments = sys.argv[1:]
        self.is_again = os.environ.pop(AGAIN, None) is not None
        self._environment = syspath.hand_over(os.environ)
        with suppress(OSError):  # another user's
            folder = os.open(".", os.O_RDONLY | os.O_DIRECTORY | getattr(os, "O_PATH", 0))
            self._folder = fcntl.fcntl(folder, fcntl.F_DUPFD_CLOEXEC, HIGH)
            os.close(folder)
        for fd in (1, 2):
            with suppress(OSError):  # rc.local has closed it
                self._output[fd] = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, HIGH)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # (nohup means it)
            signal.signal(signal.SIGHUP, self._hear)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, MINDED)  # (blocked by our former self)
        if self.is_again:
            _reap()

    def spawn(self, *more: str, file_actions: Sequence[Any] = (), **variables: str) -> int:
        """Starts it in a session of its own, with `more` arguments before ours. Returns its process id. (The standard
        library's subprocess would fork in Python code, and cannot be used beside gevent.)"""
        return os.posix_spawn(
            sys.executable,
            self._command(*more),
            {**self._environment, **variables},
            file_actions=file_actions,
            setsid=True,
            setsigmask=MINDED,  # until it minds them
            setsigdef=[signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGALRM],
        )

    def starts_anew(self) -> bool:
        """Whether its end will be followed by a new beginning."""
        return self.wanted and not self.stopped

    def leave(self, code: int) -> NoReturn:
        """The last act: the process ends here and now, or becomes the program anew. All its locks are free then."""
        # Until the new program minds them: they would end it, or be forgotten.
        signal.pthread_sigmask(signal.SIG_BLOCK, MINDED)
        if self.starts_anew():
            code = 1
            with suppress(OSError):  # (no more memory, or no more Python)
                code = self._start_anew()
            self.wanted = False
        self.forget_pidfile()
        os._exit(code)

    def inherit(self, pidfile: str) -> None:
        """Our former self has left it: should we end before it is ours, it goes."""
        self.pidfile = Path(pidfile).absolute()
        atexit.register(self.forget_pidfile)

    def forget_pidfile(self) -> None:
        """Nobody comes after us: what still names us is removed."""
        if self.pidfile is not None and not self.starts_anew():
            with suppress(OSError, ValueError):
                if int(self.pidfile.read_bytes()) == os.getpid():
                    self.pidfile.unlink()

    def _start_anew(self) -> int:
        """Returns, with the exit code, only when a stop has come at the last moment. Raises OSError."""
        if self._folder is not None:
            with suppress(OSError):
                os.fchdir(self._folder)  # (a task may have gone elsewhere)
        for fd, kept in self._output.items():
            os.dup2(kept, fd)
        command, environment = self._command(), {**self._environment, **manager.environment, AGAIN: "1"}
        manager.alive()
        if self.starts_anew():  # (Python runs the handler of what came before the mask by now)
            os.execve(sys.executable, command, environment)
        return 0

    def _command(self, *more: str) -> list[str]:
        import subprocess  # (not before gevent is patched in)

        flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
        return [sys.executable, *flags, "-m", "ztaskd", *more, *self.arguments]

    def _hear(self, number: int, frame: object) -> None:
        self.hung_up = True


def _reap() -> None:
    """Children of our former self that are gone: nobody waits for them any more."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


program = Program()
