"""What the parent and a daemon say to each other, as lines of JSON on a socket pair: one word, and what goes with it."""

from __future__ import annotations

import json
from typing import Any

# The daemon's descriptor that leads to the parent, and the variable that says so.
FD, VARIABLE = 3, "ZTASKD_RELOADER"

# From the daemon: everything is loaded, it could take over (with what is to be watched, and its address) · it serves
# · it has let go of the node's lock and address, and finishes what runs · it does not come up, and why · somebody has
# told it to stop, by its own process id or ours · what systemd is to hear.
READY, SERVING, RELEASED, REFUSED, STOPPING = "ready", "serving", "released", "refused", "stopping"
NOTIFY = "notify"

# To the daemon: take over · let the next one take over.
GO, HAND_OVER = "go", "hand over"

Message = dict[str, Any]


def pack(word: str, **fields: Any) -> bytes:
    return json.dumps({"word": word, **fields}).encode() + b"\n"


class Feed:
    """The bytes of a stream as they come in, and the messages that are complete."""

    def __init__(self) -> None:
        self._bytes = b""

    def add(self, data: bytes) -> list[Message]:
        *lines, self._bytes = (self._bytes + data).split(b"\n")
        return [json.loads(line) for line in lines]
