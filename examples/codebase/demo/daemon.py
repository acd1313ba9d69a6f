"""The ztaskd process of the demo: starts it, watches over it, stops it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

from django_ztask.models import Node

from .errors import RunError

START_LIMIT = 30.0  # seconds until the daemon must listen
STOP_LIMIT = 60.0  # seconds it gets to finish its running tasks after TERM
LOG_TAIL = 15  # lines of its log to show when it failed


class Daemon:
    """`with Daemon(...)` runs ztaskd for the block; leaving the block by any way stops it."""

    process: subprocess.Popen[bytes]

    def __init__(self, project: Path, var: Path, lock: int) -> None:
        self.project = project
        self.lock = lock
        self.log = var / "ztaskd.log"
        self.output = var / "ztaskd.out"  # what it prints besides its log, such as a crash at start

    def __enter__(self) -> Daemon:
        self.log.unlink(missing_ok=True)
        command = [sys.executable, "-m", "ztaskd", "--noreload", "-l", "INFO", "-f", str(self.log)]
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                cwd=self.project,
                env={**os.environ, "PYTHONPATH": self.python_path()},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches only us, and we stop the daemon in good order
                pass_fds=[self.lock],  # should we be killed, the lock stays as long as the daemon does
            )
        try:
            os.pwrite(self.lock, f"{self.pid:<10}\n".encode(), 0)
            self.wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        return self.process.pid

    def python_path(self) -> str:
        """The daemon runs in the project's folder, so relative entries must be made absolute."""
        entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        return os.pathsep.join([str(self.project), *(os.path.abspath(entry) for entry in entries if entry)])

    def wait_until_ready(self) -> None:
        """A node writes its row when it is ready to take tasks."""
        limit = time.monotonic() + START_LIMIT
        while not Node.objects.filter(pid=self.pid).exists():
            self.check()
            if time.monotonic() > limit:
                raise RunError(f"ztaskd is not ready after {START_LIMIT:.0f} s{self.end_of_log()}")
            time.sleep(0.05)

    def check(self) -> None:
        """Raises RunError if the daemon is no longer there."""
        status = self.process.poll()
        if status is not None:
            raise RunError(f"ztaskd ended by itself with exit status {status}{self.end_of_log()}")

    def stop(self) -> int:
        """TERM, wait, and only then KILL; returns the exit status. May be called again."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_LIMIT)
            except (subprocess.TimeoutExpired, KeyboardInterrupt):
                self.process.kill()
                self.process.wait()
        return self.process.returncode

    def stop_cleanly(self) -> None:
        status = self.stop()
        if status != 0:
            raise RunError(f"ztaskd did not stop cleanly: exit status {status}{self.end_of_log()}")

    def end_of_log(self) -> str:
        """The last lines of its log, or of what it printed before it had one, for an error message."""
        for path in (self.log, self.output):
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
            if lines:
                return "; the end of its log:\n  " + "\n  ".join(lines[-LOG_TAIL:])
        return ", and its log is empty"
