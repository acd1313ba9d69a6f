"""Whose stack that is which keeps the hub from turning: a slot's, or a coroutine's."""

from __future__ import annotations

import asyncio
from types import FrameType
from typing import Any

from django_ztask import execute
from ztaskd import coroutines
from ztaskd.blockings import Culprit
from ztaskd.slots import Slots


def running(found: list[FrameType]) -> Any:
    """The greenlet of the slot whose stack that is, or None."""
    for frame in found:
        if frame.f_code is Slots._run_one.__code__:
            return frame.f_locals.get("greenlet")
    return None


def coroutine_of(found: list[FrameType]) -> Culprit | None:
    """The task whose coroutine the event loop is at, if that is its stack, or a thread of asyncio.to_thread()."""
    for frame in found:
        if frame.f_code is asyncio.Handle._run.__code__:
            context = frame.f_locals["self"]._context
        elif frame.f_code is coroutines._then_clean.__code__:
            context = frame.f_locals["context"]
        else:
            continue
        task = execute.task_in(context)
        return None if task is None else Culprit(task.id, task.function_name)
    return None
