"""Watchdog, 6 or 7: it rings when something happens. What has happened is not taken from its events, which races,
full queues and its own recursion leave incomplete: who is rung looks for himself.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress

from watchdog import events
from watchdog.observers import Observer
from watchdog.observers.polling import PollingObserver
from watchdog.utils import BaseThread

from ztaskd.reload import sources

# What is asked of the kernel. Not "modified", where "closed after writing" exists: SQLite and logs that are kept
# open would ring all day. Not "opened": every import would.
HEARD: list[type[events.FileSystemEvent]] = [
    *(events.DirCreatedEvent, events.DirDeletedEvent, events.DirMovedEvent),
    *(events.FileCreatedEvent, events.FileDeletedEvent, events.FileMovedEvent),
    events.FileClosedEvent if sys.platform == "linux" else events.FileModifiedEvent,
]

CANARY = ".ztaskd-canary-"


ENDING = 5.0  # seconds within which watchdog's threads end


class Silent(Exception):
    """Events do not arrive, and why."""


class Watches:
    """Watches on folders. `ring(path, is_folder)` is called in watchdog's threads."""

    def __init__(self, ring: Callable[[str, bool], None]) -> None:
        self._ring = ring
        self._observer: Observer | None = None  # type: ignore[valid-type]
        self._threads: set[threading.Thread] = set()
        self._descriptors: set[int] = set()  # inotify instances
        self._heard: set[str] = set()
        self._canary = threading.Condition()

    def lay(self, plan: Mapping[str, bool]) -> None:
        """Watches these folders (recursively: True) and no others. Raises Silent; then it watches nothing."""
        self.close()
        # Watchdog 7 warns, at length, when folders are made faster than it looks, and logs errors when it is stopped.
        # Both are harmless; what matters is said by who rings.
        logging.getLogger("watchdog").setLevel(logging.CRITICAL)
        warnings.filterwarnings("ignore", "Callback with id", RuntimeWarning)
        threads, descriptors = set(threading.enumerate()), _inotify_descriptors()
        try:
            self._lay(plan)
            if sys.platform == "linux":
                self._probe()
        except OSError as error:
            self._descriptors = _inotify_descriptors() - descriptors
            self.close()
            raise Silent(reason(error)) from error
        self._descriptors = _inotify_descriptors() - descriptors
        for descriptor in self._descriptors:
            os.set_inheritable(descriptor, False)
        self._threads = {
            thread for thread in set(threading.enumerate()) - threads if isinstance(thread, BaseThread)
        }

    def _lay(self, plan: Mapping[str, bool]) -> None:
        self._observer = observer = Observer()
        if isinstance(observer, PollingObserver):
            raise OSError(errno.ENOSYS, "this system has no file events")
        observer.start()
        for folder, recursive in plan.items():
            for again in (True, True, False):  # folders may go while watchdog walks through them
                try:
                    observer.schedule(_Bell(self), folder, recursive=recursive, event_filter=HEARD)
                    break
                except (FileNotFoundError, NotADirectoryError):
                    if not os.path.isdir(folder):
                        break  # who laid it looks again, and lays anew
                    if not again:
                        raise

    def _probe(self) -> None:
        """One watch more. Watchdog 7 hides that there was none left for a folder inside another; not for this one."""
        assert self._observer is not None
        watch = self._observer.schedule(_Bell(self), os.sep, event_filter=HEARD)
        self._observer.unschedule(watch)

    def prove(self, folders: list[str], seconds: float) -> None:
        """Makes and removes a file in each of these watched folders, and waits for the news. Raises Silent."""
        assert self._observer is not None
        waited = {name: folder for folder in folders if (name := _sing(folder))}
        if waited:
            return self._await(waited, seconds)
        with tempfile.TemporaryDirectory(prefix="ztaskd-") as folder:  # none of them is ours to write to
            watch = self._observer.schedule(_Bell(self), folder, event_filter=HEARD)
            self._await({_sing(folder): folder}, seconds)
            self._observer.unschedule(watch)

    def _await(self, waited: dict[str, str], seconds: float) -> None:
        with self._canary:
            if self._canary.wait_for(lambda: waited.keys() <= self._heard, seconds):
                return
            deaf = {waited[name] for name in waited.keys() - self._heard}
        self.close()
        raise Silent(f"a file made in {' and '.join(sorted(map(sources.shown, deaf)))} raised no event")

    def heard(self, name: str) -> None:
        with self._canary:
            self._heard.add(name)
            self._canary.notify_all()

    def alive(self) -> bool:
        return all(thread.is_alive() for thread in self._threads)

    def close(self) -> None:
        """Ends watchdog's threads. Twice is fine."""
        observer, self._observer = self._observer, None
        descriptors, self._descriptors = self._descriptors, set()
        self._threads = set()
        self._heard.clear()
        if observer is not None:
            # One of its threads may have died with a lock in its hand: then it never ends, and is left alone.
            ending = threading.Thread(target=_end, args=(observer,), daemon=True)
            ending.start()
            ending.join(ENDING)
            if ending.is_alive():
                return
        # Watchdog 6 forgets the instance that it was filling when it failed, and both leave it to a thread that may be
        # dead: with it, all the watches that are still to be had would be ours for ever.
        for descriptor in descriptors & _inotify_descriptors():
            with suppress(OSError):
                os.close(descriptor)

    def ring(self, path: str | bytes, is_folder: bool) -> None:
        path = os.fsdecode(path)
        name = os.path.basename(path)
        if name.startswith(CANARY):
            self.heard(name)
        elif path:
            self._ring(path, is_folder)


class _Bell(events.FileSystemEventHandler):
    def __init__(self, watches: Watches) -> None:
        self.watches = watches

    def dispatch(self, event: events.FileSystemEvent) -> None:
        for path in (event.src_path, event.dest_path):
            self.watches.ring(path, event.is_directory)


def _end(observer: BaseThread) -> None:
    observer.stop()
    with suppress(RuntimeError):  # never started
        observer.join()


def _sing(folder: str) -> str:
    """Makes and removes a file there; its name, "" when that is not allowed."""
    name = f"{CANARY}{os.getpid()}-{time.monotonic_ns()}"
    path = os.path.join(folder, name)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        os.unlink(path)
    except OSError:
        return ""
    return name


def reason(error: OSError) -> str:
    """What a failed watch means, with the setting that would help."""
    if error.errno == errno.ENOSPC:
        return f"inotify's limit of watches is reached (fs.inotify.max_user_watches = {_limit('max_user_watches')})"
    if error.errno == errno.EMFILE:
        return (
            "inotify's limit of instances (fs.inotify.max_user_instances = "
            f"{_limit('max_user_instances')}) or this process's limit of open files is reached"
        )
    return str(error)


def _limit(name: str) -> str:
    try:
        with open(f"/proc/sys/fs/inotify/{name}") as file:
            return file.read().strip()
    except OSError:
        return "unknown"


def _inotify_descriptors() -> set[int]:
    """This process's inotify instances."""
    found = set()
    with suppress(OSError):
        for name in os.listdir("/proc/self/fd"):
            with suppress(OSError):
                if os.readlink(f"/proc/self/fd/{name}") == "anon_inode:inotify":
                    found.add(int(name))
    return found
