"""A node's end of the wire, for tests of what callers say; `node` is a fixture of conftest.py."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq

from django_ztask import transport
from django_ztask.conf import keys
from django_ztask.message import Names, decode

PATIENCE = 10_000  # milliseconds until a message that does not come fails its test


class Node:
    """What a node has: a ROUTER that reads messages."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], url: str | None = None) -> None:
        self.socket = context.socket(zmq.ROUTER)
        self.socket.linger = 0
        if url is None:
            port = self.socket.bind_to_random_port("tcp://127.0.0.1")
            self.url = f"tcp://127.0.0.1:{port}"
        else:
            self.socket.bind(url)
            self.url = url

    def frames(self, patience: int = PATIENCE) -> list[bytes] | None:
        """The next message: identity, MAC, body. None when none comes."""
        return self.socket.recv_multipart() if self.socket.poll(patience) else None

    def names(self, patience: int = PATIENCE) -> Names | None:
        frames = self.frames(patience)
        return None if frames is None else decode(frames[1:], keys("message"))


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Node]]:
    """Makes nodes; calls go over the wire in this test, through a socket of its own."""
    own = transport.Transport()
    monkeypatch.setattr(transport, "_transport", own)
    # (What goes unsaid in a tight loop: test_tight_loop.py.)
    monkeypatch.setattr(transport, "STREAK", math.inf)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    nodes: list[Node] = []

    def make(url: str | None = None) -> Node:
        nodes.append(Node(context, url))
        return nodes[-1]

    yield make
    context.destroy(0)
    closing = threading.Thread(target=own.close, daemon=True)
    closing.start()
    closing.join(PATIENCE / 1000)
    assert not closing.is_alive(), "closing the transport does not end: something of its context is open"


def nobody(tmp_path: Path) -> str:
    """A URL at which nothing listens."""
    return f"ipc://{tmp_path}/nobody"[:112]
