"""What the daemon and a child say to each other, as pure functions: a length of four bytes, then msgpack.

Both ends belong to one installation and one boot: nothing is signed, and there are no versions.
"""

from __future__ import annotations

import signal
import struct
from typing import Any, TypeVar

import msgspec

from django_ztask.execute import CurrentTask
from django_ztask.lifecycle import Outcome
from django_ztask.serialize import Payload

# The child's descriptor that leads to the daemon.
FD = 3

# The signals that interrupt, and that cancel, the task which runs in a child. (Two that no program uses for anything:
# SIGUSR1 is what many print their stacks at, and SIGUSR2 is sent to all of us by who has rotated the log.)
INTERRUPT, CANCEL = signal.SIGRTMIN + 6, signal.SIGRTMIN + 5

# Signals that somebody may send to all of our processes, though they mean the daemon: a child minds them from its first
# moment on.
GROUP_WIDE = (signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)

_LENGTH = struct.Struct(">I")


class Do(msgspec.Struct, frozen=True, tag="do"):
    """To the child: run this attempt. `timeout`: seconds, its soft limit. `hidden`: arguments that nobody is to see."""

    task: CurrentTask
    payload: Payload
    mac: str
    timeout: float | None = None
    hidden: tuple[int | str, ...] = ()


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """From the child: the project is loaded, it takes tasks."""


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """From the child: the project does not load here, and it ends."""

    reason: str


class Line(msgspec.Struct, frozen=True, tag="line"):
    """From the child: something was logged. `created` in epoch seconds; `task` is None outside of one. `exception`: a
    traceback; `extra`: what else the record has, as JSON has it."""

    name: str
    level: int
    created: float
    text: str
    task: str | None
    exception: str | None = None
    extra: dict[str, Any] = {}
    function: str = ""
    attempt: int = 0


class Done(msgspec.Struct, frozen=True, tag="done"):
    """From the child: the attempt is over. `started` in epoch seconds, `memory` in bytes (its RSS)."""

    outcome: Outcome
    started: float
    seconds: float
    memory: int


FromDaemon = Do
FromChild = Ready | Refused | Line | Done

Message = TypeVar("Message")

_encoder = msgspec.msgpack.Encoder()
from_daemon: msgspec.msgpack.Decoder[Do] = msgspec.msgpack.Decoder(Do)
from_child: msgspec.msgpack.Decoder[Ready | Refused | Line | Done] = msgspec.msgpack.Decoder(FromChild)


def pack(message: FromDaemon | FromChild) -> bytes:
    """The bytes of one message."""
    body = _encoder.encode(message)
    return _LENGTH.pack(len(body)) + body


class Feed:
    """The bytes of a stream as they come in, and the bodies of the messages that are complete."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def add(self, data: bytes) -> list[bytes]:
        """What `data` completes, in order."""
        self._bytes += data
        found = []
        while len(self._bytes) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._bytes)
            end = _LENGTH.size + length
            if len(self._bytes) < end:
                break
            found.append(bytes(self._bytes[_LENGTH.size : end]))
            del self._bytes[:end]
        return found
