"""What the daemon and a child say to each other, as pure functions: a length of four bytes, then msgpack.

Both ends belong to one installation and one boot: nothing is signed, and there are no versions.
"""

from __future__ import annotations

import signal
import struct
from typing import TypeVar

import msgspec

from django_ztask.execute import CurrentTask
from django_ztask.lifecycle import Outcome
from django_ztask.serialize import Payload

# The child's descriptor that leads to the daemon.
FD = 3

# The signals that interrupt, and that cancel, the task which runs in a child. (The second is one that no program uses
# for anything: SIGUSR1 is what many print their stacks at.)
INTERRUPT, CANCEL = signal.SIGUSR2, signal.SIGRTMIN + 5

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
    """From the child: something was logged. `created` in epoch seconds; `task` is None outside of one."""

    name: str
    level: int
    created: float
    text: str
    task: str | None


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
