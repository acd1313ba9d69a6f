"""What a node makes of a message: frames -> names for the dispatcher, what is cancelled, or a control message's reply.

No socket here. Nothing that a peer sends raises out of `read`: it is counted, logged and dropped.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from django_ztask import __version__, crashpoints
from django_ztask.conf import keys
from django_ztask.errors import MacError, MessageError
from django_ztask.message import (
    MAC_LENGTH,
    REASON,
    Cancels,
    Control,
    Names,
    Reply,
    claims_control,
    decode,
    encode,
    signer,
)
from ztaskd import events
from ztaskd.freshness import Freshness

Named = Callable[[Sequence[str], float | None, float], None]
Cancelled = Callable[[Sequence[str]], None]

# Takes the arguments of a control message, returns the reply's value. Raises MessageError to refuse.
Command = Callable[[dict[str, Any]], dict[str, Any]]


class Reader:
    """`refused` counts by reason what was dropped; `commands` are what control messages can ask for."""

    def __init__(self, named: Named, name: str, cancelled: Cancelled) -> None:
        self.named = named
        self.cancelled = cancelled
        self.name = name
        self.refused: Counter[str] = Counter()
        self.commands: dict[str, Command] = {"ping": self._ping}
        self._freshness = Freshness(time.monotonic())

    def read(self, frames: Sequence[bytes]) -> list[bytes] | None:
        """Does what a message asks for. Returns the frames of its reply: control messages have one."""
        try:
            message = decode(frames, keys("message"))
        except (MacError, MessageError) as error:
            self.refuse(error)
            return self._answer(frames, _refusal(frames, error)) if claims_control(frames) else None
        if isinstance(message, Names):
            crashpoints.reach("intake-decoded")
            self.named(message.ids, message.later, message.more)
            return None
        if isinstance(message, Cancels):
            self.cancelled(message.ids)
            return None
        return self._answer(frames, self._obey(frames, message))

    def refuse(self, error: MacError | MessageError) -> None:
        self.refused[error.reason] += 1
        events.emit("message_refused", error=error)

    def _obey(self, frames: Sequence[bytes], message: Control) -> Reply:
        try:
            self._freshness.check(message, time.time(), time.monotonic())
            command = self.commands.get(message.command)
            if command is None:
                known = ", ".join(sorted(self.commands))
                raise MessageError("unknown", f"command {message.command!r}; this node knows: {known}")
            return Reply(frames[0], value=command(message.arguments))
        except MessageError as error:
            self.refuse(error)
            return _refusal(frames, error)
        except Exception as error:
            failure = MessageError("failed", f"command {message.command!r}: {error!r}")
            self.refuse(failure)
            return _refusal(frames, failure)

    def _answer(self, frames: Sequence[bytes], reply: Reply) -> list[bytes]:
        """Signed as the message was: its sender may not know our latest key yet."""
        ours = keys("message")
        key = (signer(frames, ours) if len(frames) == 2 else None) or ours[0]
        try:
            return encode(reply, key)
        except (TypeError, ValueError, RecursionError) as error:  # a value that cannot travel
            failure = MessageError("failed", f"its answer cannot be sent: {error!r}")
            self.refuse(failure)
            return encode(_refusal(frames, failure), key)

    def _ping(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return {
            "name": self.name,
            "pid": os.getpid(),
            "version": __version__,
            "time": time.time(),
            "refused": dict(self.refused),
        }


def _refusal(frames: Sequence[bytes], error: MacError | MessageError) -> Reply:
    return Reply(frames[0][:MAC_LENGTH], error.reason, str(error)[:REASON])
