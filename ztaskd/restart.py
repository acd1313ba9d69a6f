"""HUP without the reloader: the code is tried in a fresh interpreter first; when it is fine the node drains, and the
process becomes the program anew, under the same process id.
"""

from __future__ import annotations

import os
import signal
import tempfile
from contextlib import suppress
from typing import Any

import gevent
from gevent.event import Event

from ztaskd import events
from ztaskd.again import program
from ztaskd.notify import BOOT_STEP, manager

# Seconds that a trial has.
TRIAL = 120.0


class Restart:
    """`stop` makes the node drain."""

    def __init__(self, stop: Event) -> None:
        self._stop = stop
        self._trial: Any = None

    def ask(self) -> None:
        """One trial at a time: what asks meanwhile gets its answer."""
        if self._trial:
            events.emit("note", text="HUP: a trial of the new code is under way already")
        elif not program.wanted:
            self._trial = gevent.spawn(self._try)

    def _try(self) -> None:
        events.emit("note", text="HUP: is the new code fine?")
        manager.reloading(TRIAL + BOOT_STEP)
        from ztaskd.reload.bytecode import remove_doubtful

        try:
            gevent.get_hub().threadpool.apply(remove_doubtful)  # (a fresh environment has thousands of files)
            code, text = _check()
        except Exception as error:  # no memory, no room for what it says, odd things among the modules
            code, text = -1, f"it cannot be tried: {error}"
        if self._stop.is_set() or program.stopped:  # (meanwhile: there is no more to say)
            return
        if code:
            events.emit("error", text=f"HUP: not restarted, the old code goes on. {text}")
            manager.refused(text)
        else:
            events.emit("note", text="HUP: the new code is fine: finishing what runs, then starting it")
            program.wanted = True
            self._stop.set()


def _check() -> tuple[int, str]:
    """`--check` with our own arguments, in an interpreter of its own. Returns its exit status and what it has said."""
    loop = gevent.get_hub().loop
    loop.install_sigchld()
    ended, late = Event(), ""
    with tempfile.TemporaryFile() as said:
        pid = program.spawn(
            "--check",
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                *((os.POSIX_SPAWN_DUP2, said.fileno(), fd) for fd in (1, 2)),
            ],
        )
        watcher = loop.child(pid, ref=False)
        watcher.start(ended.set)
        if not ended.wait(TRIAL):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)  # (and what it has started)
            ended.wait()
            late = f"--check has not ended within {TRIAL:g} s: killed. "
        code = os.waitstatus_to_exitcode(watcher.rstatus)
        watcher.close()
        said.seek(0)
        return code or int(bool(late)), late + said.read().decode(errors="replace").strip()
