"""gevent patched in: the first thing the daemon does, before anything else is imported."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from gevent import events as gevent_events
from gevent import monkey

events: Any = gevent_events


def patch() -> None:
    """Everything that waits yields to the hub, and each greenlet may run an event loop of its own."""
    _patch_all()
    _one_event_loop_per_greenlet()


def _patch_all() -> None:
    """For each module that it patches, gevent looks through all installed packages for plugins of its own
    (importlib.metadata: 50 ms, 3 MiB). So this is left to it only where there is one."""
    ask = events.notify_and_call_entry_points
    if not any(_plugins(sys.path)):
        events.notify_and_call_entry_points = events.notify
    try:
        monkey.patch_all()
    finally:
        events.notify_and_call_entry_points = ask


def _plugins(path: list[str]) -> Iterator[str]:
    """Where it stands which packages (but gevent, which only warns of what we do not do) want to be told of patching."""
    for folder in path:
        with suppress(OSError), os.scandir(folder or ".") as entries:
            for entry in entries:
                name = entry.name
                if name.endswith((".dist-info", ".egg-info")) and not name.startswith("gevent-"):
                    with suppress(OSError), open(f"{entry.path}/entry_points.txt", "rb") as file:
                        if b"gevent.plugins" in file.read():
                            yield entry.path


def _one_event_loop_per_greenlet() -> None:
    """asyncio's C code keeps the running loop per thread, and all slots are greenlets of one thread: one
    task's `async_to_sync` would make every other task's ORM call raise SynchronousOnlyOperation. Its
    Python versions keep it in a threading.local, which is a greenlet's own once gevent is patched in.
    """
    import asyncio
    from asyncio import events, tasks

    modules: list[tuple[Any, tuple[str, ...]]] = [
        (events, ("_get_running_loop", "_set_running_loop", "get_running_loop", "get_event_loop")),
        (tasks, ("current_task",)),
    ]
    for module, names in modules:
        for name in names:
            python = getattr(module, f"_py_{name}", None)  # None: there is no C version of it
            if python is not None:
                setattr(module, name, python)
                if hasattr(asyncio, name):
                    setattr(asyncio, name, python)
