"""Tells when the project's code has changed. Watchdog's events, or a clock, say only that one should look; what has
changed is the difference between two pictures of the files, so no event that is lost or doubled can mislead.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from ztaskd.reload import settling, snapshot, sources
from ztaskd.reload.laying import Plan
from ztaskd.reload.observer import Silent, Watches
from ztaskd.reload.settling import Burst
from ztaskd.reload.snapshot import Snapshot

TICK = 0.5  # seconds between looks at the few things that raise no event: replaced roots, files apart, dead threads
POLL = 1.0  # seconds between looks at everything, without events; longer when one look takes more than 50 ms
PATROL = (
    60.0  # the same with events, for those that never came (mmap, another machine's writes, a full queue)
)
CANARY = 2.0  # seconds within which an event must arrive
CLOCK = 20_000_000  # nanoseconds by which a file's times may lag behind the clock
LAYINGS = 5  # times watches are laid in a row while new folders keep appearing


class Watcher:
    """Watches folders for changes of code, and files of any kind. For one thread; `say` is called in others too."""

    def __init__(
        self,
        folders: Iterable[Path],
        files: Iterable[Path] = (),
        *,
        poll: bool = False,
        say: Callable[[int, str], None],
    ) -> None:
        self._folders, self._files = _absolute(folders), _absolute(files)
        self._polling = poll
        self._say = say
        self._readable, self._writable = os.pipe()
        os.set_blocking(self._readable, False)
        self._told = False
        self._lock = threading.RLock()  # of the pictures, and of what is laid
        self._now = self._taken = Snapshot()
        self._since = 0  # wall clock, in ns: when the latest was taken
        self._plan = Plan()
        self._laid: dict[str, bool] = {}
        self._standing: dict[str, tuple[int, int] | None] = {}
        self._locks: frozenset[str] = frozenset()
        self._watches = Watches(self._ring)
        self._bell = threading.Condition()
        self._rung = self._ended = False
        self._thread = threading.Thread(target=self._run, name="watching", daemon=True)

    def start(self) -> None:
        """Takes the first picture and proves that events arrive; if they do not, says so and polls from now on."""
        with self._lock:
            self._since = time.time_ns()
            self._scan()
            self._locks = settling.index_locks(self._now.tops)
            if not self._polling:
                try:
                    self._watches.prove([top for top in self._now.tops if top in self._laid], CANARY)
                except (Silent, OSError) as why:
                    self._poll(str(why))
            self._taken = self._now
            every = f", looking every {POLL:g} s" if self._polling else ""
            self._say(
                logging.INFO,
                f"watching {len(self._now.files):,} files in {len(self._now.folders):,} folders for changes{every}",
            )
        self._thread.start()

    def watch(self, folders: Iterable[Path], files: Iterable[Path]) -> None:
        """Watches these from now on. What is new among them counts as known, unless it was written since the latest
        take(): who was started then may have read it before.
        """
        wanted = _absolute(folders), _absolute(files)
        with self._lock:
            if wanted == (self._folders, self._files):
                return
            before = self._now
            self._folders, self._files = wanted
            self._scan()
            self._locks = settling.index_locks(self._now.tops)
            taken = Snapshot(dict(self._taken.files))
            for path in before.files.keys() - self._now.files.keys():
                if os.path.lexists(path):  # there, and none of ours any longer
                    taken.files.pop(path, None)
            for path in self._now.files.keys() - before.files.keys():
                file = self._now.files[path]
                if file.modified < self._since - CLOCK:
                    taken.files[path] = file
            self._taken = taken
            self._tell()

    def fileno(self) -> int:
        """Readable when a burst of changes is over."""
        return self._readable

    def take(self) -> frozenset[Path]:
        """What has another content, is new or is gone since the last take; empty when all is as it was again."""
        with self._lock:
            with suppress(BlockingIOError):
                os.read(self._readable, 64)
            self._told = False
            changed = self._now.changed_since(self._taken)
            self._taken = self._now
            self._since = time.time_ns()
        return frozenset(map(Path, changed))

    def stop(self) -> None:
        """Ends its threads and closes its descriptor. Twice is fine."""
        with self._bell:
            if self._ended:
                return
            self._ended = True
            self._bell.notify_all()
        if self._thread.ident is not None:
            self._thread.join()
        self._watches.close()
        os.close(self._readable)
        os.close(self._writable)

    def _ring(self, path: str, is_folder: bool) -> None:
        """Something happened there; called in watchdog's threads."""
        if self._concerns(path, is_folder):
            with self._bell:
                self._rung = True
                self._bell.notify_all()

    def _concerns(self, path: str, is_folder: bool) -> bool:
        now = self._now
        if path in now.apart:
            return True
        folder, name = os.path.split(path)
        if not (is_folder or sources.counts(name) or os.path.islink(path)):  # (a link may lead to a folder)
            return False
        while not is_folder or path not in now.folders:
            if is_folder and (path in now.left_out or sources.left_out_by_name(name)):
                return False
            if folder in now.folders or folder == path:
                return True
            path, is_folder = folder, True
            folder, name = os.path.split(path)
        return True

    def _wait(self, seconds: float) -> bool:
        """Until rung (True), or for so many seconds, or until it is the end."""
        with self._bell:
            self._bell.wait_for(lambda: self._rung or self._ended, seconds)
            rung, self._rung = self._rung, False
            return rung

    def _run(self) -> None:
        cost, patrol = 0.0, time.monotonic() + PATROL
        while not self._ended:
            rung = self._wait(max(POLL, 20 * cost) if self._polling else TICK)
            began = time.monotonic()
            try:
                if self._polling:
                    differs = self._differs()
                    cost = time.monotonic() - began
                    if differs:
                        self._gather()
                elif rung or began >= patrol or self._is_odd():
                    self._gather()
                    patrol = time.monotonic() + PATROL
            except Exception as error:
                self._say(logging.ERROR, f"cannot look for changes of code: {error!r}")

    def _gather(self) -> None:
        """Waits for the end of a burst, looks, and tells if there is anything to tell."""
        last = time.monotonic()
        burst = Burst(last, self._locks)
        while not self._ended and (rest := burst.rest(last, time.monotonic())):
            if self._wait(rest) or (self._polling and self._differs()):
                last = time.monotonic()
        with self._lock:
            self._scan()
            self._tell()

    def _differs(self) -> bool:
        with self._lock:
            before = self._now
            self._scan()
            return bool(self._now.changed_since(before))

    def _is_odd(self) -> bool:
        """Whether one should look though nothing rang."""
        if not self._watches.alive():
            return True
        if any(_standing(path) != found for path, found in self._standing.items()):
            return True
        files = self._now.files
        return any(snapshot.look(path, files.get(path)) is not files.get(path) for path in self._now.apart)

    def _tell(self) -> None:
        if not self._told and self._now.changed_since(self._taken):
            self._told = True
            os.write(self._writable, b"!")

    def _scan(self) -> None:
        """Takes a picture; lays watches for folders that are new in it, and looks again, until none are."""
        for _ in range(LAYINGS):
            asked_for = {path: _standing(path) for path in self._folders}
            before, self._now = self._now, snapshot.take(self._folders, self._files, self._now)
            for path in sorted(self._now.unreadable - before.unreadable):
                self._say(
                    logging.WARNING, f"cannot read {sources.shown(path)}: not watched for changes of code"
                )
            if self._polling:
                return
            plan = self._plan.of(self._now)
            linked = {path: _standing(path) for path in self._now.links}
            self._standing = {**asked_for, **linked, **{path: self._now.folders[path] for path in plan}}
            if plan == self._laid and not self._now.new_folders(before):
                break
            self._lay(plan)
        if not self._polling and not self._watches.alive():
            self._poll("a thread of watchdog has died")

    def _lay(self, plan: dict[str, bool]) -> None:
        try:
            self._watches.lay(plan)
        except Silent as why:
            return self._poll(str(why))
        self._laid = plan

    def _poll(self, why: str) -> None:
        """Events cannot be had, or no more."""
        self._polling = True
        self._watches.close()
        self._say(logging.WARNING, f"no events for changes of code: {why}; looking every {POLL:g} s instead")


def _absolute(paths: Iterable[Path]) -> list[str]:
    return list(dict.fromkeys(os.path.abspath(path) for path in paths))


def _standing(path: str) -> tuple[int, int] | None:
    try:
        return snapshot.identity(path)
    except OSError:
        return None
