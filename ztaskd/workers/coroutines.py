"""Coroutines in a child: signals strike them, also when they do not yield."""

from __future__ import annotations

import ctypes
import threading
from typing import Any

from ztaskd.coroutines import Call, Coroutines, Start


class InChild:
    """The main thread waits for the coroutine of its task, if it has one, and does its synchronous parts."""

    def __init__(self) -> None:
        self._coroutines = Coroutines(_raise_in)
        self._call: Call | None = None

    def run(self, start: Start) -> Any:
        """What the coroutine returns or raises."""
        self._call = self._coroutines.call(start)
        try:
            return self._call.wait()
        finally:
            self._call = None

    def strike(self, error: BaseException) -> None:
        """Called by a signal's handler: raises the error in the task. (Not while the main thread only waits.)"""
        call = self._call
        if call is None or call.in_part:
            raise error
        call.put(error)


def _raise_in(thread: threading.Thread, kind: type[BaseException]) -> None:
    """There are no greenlets here: whatever runs in the loop's thread now is the coroutine that does not yield."""
    assert thread.ident is not None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(kind))
