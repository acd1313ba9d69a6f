"""gevent patched in: the first thing the daemon does, before anything else is imported."""

from __future__ import annotations

from typing import Any

from gevent import monkey


def patch() -> None:
    """Everything that waits yields to the hub, and each greenlet may run an event loop of its own."""
    monkey.patch_all()
    _one_event_loop_per_greenlet()


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
