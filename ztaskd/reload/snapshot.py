"""A picture of the code on disk, and what differs between two. Size, times and inode say which files to read again;
their content says what has changed: a touch, a chmod, the same bytes written anew are no change.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from ztaskd.reload import sources

# Seconds for reading files' contents while a picture is taken. Files it is not enough for count as changed when
# they are touched, until they are read for that reason.
READING = 3.0


class File(NamedTuple):
    """What is known of a file: `stamp` differs whenever it was written (ctime cannot be set back)."""

    size: int
    modified: int
    stamp: tuple[int, int, int]  # ctime in ns, device, inode
    content: bytes | None  # a hash; None: not read


def same(one: File, other: File) -> bool:
    if one.content is not None and other.content is not None:
        return one.content == other.content
    return one[:2] == other[:2]


@dataclass
class Snapshot:
    """Files by their paths as the project knows them (through its links), folders by their real ones."""

    files: dict[str, File] = field(default_factory=dict)
    folders: dict[str, tuple[int, int]] = field(default_factory=dict)  # device, inode
    tops: list[str] = field(default_factory=list)  # where walks began, and where links to packages lead
    left_out: set[str] = field(default_factory=set)  # folders inside `folders` that do not count
    apart: set[str] = field(default_factory=set)  # files that lie, or whose links lead, outside of `folders`
    links: set[str] = field(default_factory=set)  # to folders, and followed
    unreadable: set[str] = field(default_factory=set)

    def changed_since(self, before: Snapshot) -> frozenset[str]:
        """Paths of the files that are new, gone, or have another content."""
        both = self.files.keys() & before.files.keys()
        changed = {path for path in both if not same(self.files[path], before.files[path])}
        return frozenset(changed | (self.files.keys() ^ before.files.keys()))

    def new_folders(self, before: Snapshot) -> set[str]:
        """Folders that were not there, or were others of the same name."""
        return {path for path, identity in self.folders.items() if before.folders.get(path) != identity}


def take(folders: Iterable[str], files: Iterable[str], before: Snapshot) -> Snapshot:
    """The files that count in `folders`, and `files`, now. What is not there is left out."""
    return _Walk(before).of(folders, files)


def look(path: str, before: File | None) -> File | None:
    """The file, without its content if it may be another than before; None: there is none (a pipe is none)."""
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    except OSError:  # no permission, a mount's trouble: as if nothing had happened
        return before
    if not stat.S_ISREG(found.st_mode):
        return None
    stamp = (found.st_ctime_ns, found.st_dev, found.st_ino)
    file = File(found.st_size, found.st_mtime_ns, stamp, None)
    if before is not None and before[:3] == file[:3]:
        return before
    return file


def identity(path: str) -> tuple[int, int] | None:
    """Which folder stands at `path` now, behind all links; None: none. Raises OSError when that cannot be told."""
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISDIR(found.st_mode) else None


class _Walk:
    """One look at everything. A folder that is reached twice (a link, or a folder inside another) is read once."""

    def __init__(self, before: Snapshot) -> None:
        self.before = before
        self.now = Snapshot()
        self.seen: set[tuple[int, int]] = set()
        self.until = time.monotonic() + READING
        self.linked: list[str] = []  # files that are links
        self.links: list[
            str
        ] = []  # links to folders: after all else, so that what has a path of its own keeps it

    def of(self, folders: Iterable[str], files: Iterable[str]) -> Snapshot:
        for folder in folders:
            self._top(folder)
        while self.links:
            self._top(self.links.pop())
        for path in files:
            self._file(path)
            self.now.apart.add(path)
        for path in self.linked:
            if os.path.dirname(os.path.realpath(path)) not in self.now.folders:
                self.now.apart.add(path)
        return self.now

    def _top(self, folder: str) -> None:
        """A folder that was asked for, or that a link leads to."""
        real = os.path.realpath(folder)
        waiting = list(self._folder(folder, real, asked_for=True))
        if real in self.now.folders:
            self.now.tops.append(real)
        while waiting:
            waiting.extend(self._folder(*waiting.pop()))

    def _folder(self, path: str, real: str, asked_for: bool = False) -> Iterator[tuple[str, str]]:
        """Reads one folder; yields those in it, by their paths and real paths."""
        try:
            found = identity(real)
            if found is None or found in self.seen:
                return
            with os.scandir(path) as scanned:
                entries = {entry.name: entry for entry in scanned}
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError:  # no permission, a mount's trouble: as if nothing had happened in there
            self._keep(path, real)
            return
        self.seen.add(found)
        if not asked_for and sources.is_environment(entries):
            self.now.left_out.add(real)
            return
        self.now.folders[real] = found
        for name, entry in entries.items():
            if _is_folder(entry):
                if sources.left_out(real, name, entries):
                    self.now.left_out.add(os.path.join(real, name))
                elif not entry.is_symlink():
                    yield entry.path, os.path.join(real, name)
                elif _is_package(entry.path):
                    self.links.append(entry.path)
                    self.now.links.add(entry.path)
            elif sources.counts(name):
                self._file(entry.path)
                if entry.is_symlink():
                    self.linked.append(entry.path)

    def _file(self, path: str) -> None:
        before = self.before.files.get(path)
        file = look(path, before)
        if file is None:
            return
        if file is not before and (before is not None or time.monotonic() < self.until):
            file = file._replace(content=_content(path))
        self.now.files[path] = file

    def _keep(self, path: str, real: str) -> None:
        self.now.unreadable.add(path)
        for known, file in self.before.files.items():
            if sources.inside(known, path):
                self.now.files[known] = file
        for known, found in self.before.folders.items():
            if sources.inside(known, real):
                self.now.folders[known] = found


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a ring
        return False


def _is_package(path: str) -> bool:
    """Whether a link to a folder leads to code: many lead to uploads, logs or a whole disk."""
    try:
        with os.scandir(path) as scanned:
            return any(sources.counts(entry.name) for entry in scanned)
    except OSError:
        return False


def _content(path: str) -> bytes | None:
    try:
        with open(path, "rb", buffering=0) as file:
            return hashlib.file_digest(file, "blake2b").digest()[:16]
    except (OSError, ValueError):
        return None
