"""Coroutines in a child: signals strike them, also when they do not yield."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from ztaskd.awaiting import Call
from ztaskd.coroutines import Coroutines


class InChild:
    """The main thread waits for the coroutine of its task, if it has one, and does its synchronous parts."""

    def __init__(self) -> None:
        self._coroutines = Coroutines(threading.get_ident, _raise_in)
        self._call: Call | None = None
        self._early: list[BaseException] | None = None  # what strikes while a call is being made

    def run(self, start: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """What the coroutine returns or raises."""
        early: list[BaseException] = []
        self._early = early
        try:
            self._call = call = self._coroutines.call(start)
        finally:
            self._early = None
        for error in early:
            call.put(error)
        try:
            return call.wait()
        finally:
            self._call = None

    def strike(self, error: BaseException) -> None:
        """Called by a signal's handler: raises the error in the task. (Not while the main thread only waits.)"""
        call = self._call
        if self._early is not None:
            self._early.append(error)
        elif call is None or call.in_part:
            raise error
        else:
            call.put(error)


def _raise_in(thread: int, call: Call) -> None:
    """(Of the error, Python takes the type.)"""
    if call.keeps_the_loop():
        kind = ctypes.py_object(type(call.hit()))
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), kind)
