"""The board on which a child's tasks write how far they are: memory that it shares with the daemon. A loop that reports
a million times sends nothing, the daemon reads the latest whenever it likes, and still does when the child is dead.
"""

from __future__ import annotations

import mmap
import os
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from django_ztask import progress
from django_ztask.progress import Progress
from ztaskd.workers.sheet import high

# The child's descriptor for it, until it has mapped it.
FD = 5

# Bytes. (A text of 200 characters takes 800 of them, the numbers and the id a hundred.)
SIZE = mmap.PAGESIZE

# Length and checksum: what is half written reads as nothing.
_HEAD = struct.Struct("=II")


class Said(msgspec.Struct, frozen=True, array_like=True):
    """What is on the board."""

    task: str
    attempt: int
    progress: Progress


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Said)


class Board:
    """The daemon's side. The memory is gone with this object, and with the child."""

    _fd = -1

    def __init__(self) -> None:
        self._fd = high(os.memfd_create("ztaskd-progress"))
        os.ftruncate(self._fd, SIZE)
        self._memory = mmap.mmap(self._fd, SIZE, prot=mmap.PROT_READ)

    @contextmanager
    def handed(self) -> Iterator[int]:
        """The descriptor for the child, closed at the end."""
        try:
            yield self._fd
        finally:
            self._close()

    def __del__(self) -> None:
        self._close()

    def _close(self) -> None:
        if self._fd != -1:
            fd, self._fd = self._fd, -1
            os.close(fd)

    def read(self) -> Said | None:
        """What was written last. None: nothing, or it is being written right now."""
        length, checksum = _HEAD.unpack_from(self._memory)
        if not 0 < length <= SIZE - _HEAD.size:
            return None
        body = self._memory[_HEAD.size : _HEAD.size + length]
        if zlib.crc32(body) != checksum:
            return None
        try:
            return _decoder.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None


class Writer:
    """The child's side."""

    def __init__(self, fd: int = FD) -> None:
        self._memory = mmap.mmap(fd, SIZE)
        os.close(fd)
        self._renew()
        os.register_at_fork(after_in_child=self._renew)  # (a thread may have it in the moment of a fork)

    def listen(self) -> None:
        """From now on, tasks of this process write here."""
        progress.deliver_to(self.write)

    def _renew(self) -> None:
        """(A signal's handler may come in between, and say something, too.)"""
        self._lock = threading.RLock()

    def write(self, task: str, attempt: int, said: Progress) -> None:
        """(A process that a task has forked writes here as well.)"""
        body = _encoder.encode(Said(task, attempt, said))
        head = _HEAD.pack(len(body), zlib.crc32(body))
        if len(body) > SIZE - _HEAD.size:  # (an id of that length somebody has made by hand)
            return
        with self._lock:
            self._memory[_HEAD.size : _HEAD.size + len(body)] = body
            self._memory[: _HEAD.size] = head
