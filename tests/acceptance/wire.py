"""What the tests of the wire share: peers that mean no good, and how a daemon fares meanwhile."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import zmq

from django_ztask.control import ask
from tests.acceptance.daemon import PATIENCE, Daemon, free_port, wait_for
from tests.acceptance.site import Site
from tests.fuzz.target import greet, resident

NewSite = Callable[..., Site]


def on_port(new_site: NewSite, **settings: Any) -> Site:
    return new_site(ZTASKD_URL=f"tcp://127.0.0.1:{free_port()}", **settings)


def url(site: Site) -> str:
    return str(site.settings["ZTASKD_URL"])


def address(site: Site) -> tuple[str, int]:
    return "127.0.0.1", int(url(site).rpartition(":")[2])


def connect(site: Site, data: bytes = b"") -> socket.socket:
    connection = socket.create_connection(address(site), timeout=PATIENCE)
    with contextlib.suppress(ConnectionError):  # it may have hung up on us already
        connection.sendall(data)
    return connection


def peer(site: Site) -> socket.socket:
    """A connection with its handshake done, which from then on says what it likes."""
    connection = connect(site)
    greet(connection)
    return connection


def send(site: Site, messages: Sequence[Sequence[bytes]], identity: bytes = b"") -> None:
    """All of them, from one DEALER."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        if identity:
            dealer.identity = identity
        dealer.sndhwm = 0
        dealer.connect(url(site))
        for frames in messages:
            dealer.send_multipart(frames)
        dealer.close(10_000)


def multipart(frame: bytes, count: int) -> bytes:
    """On the wire: `count` frames, and always one more to come."""
    return (struct.pack(">BQ", 3, len(frame)) + frame) * count


def prompt(site: Site) -> None:
    """Ten tasks, one after the other: by the sweep alone they would take ten seconds."""
    seconds = site.call("""
        began = time.monotonic()
        for n in range(10):
            add.async_(n, n).result(20)
        show(time.monotonic() - began)
    """)
    assert seconds < 5


class Watch:
    """A daemon before and after: `unharmed` says that nothing of what was done to it has stayed."""

    def __init__(self, site: Site, daemon: Daemon) -> None:
        prompt(site)  # so that it has what it needs to work
        self.site, self.daemon = site, daemon
        self.began = time.monotonic()
        self.memory, self.descriptors = resident(daemon.pid), self.count_descriptors()
        self.refused = self.counts()

    def count_descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.daemon.pid}/fd"))

    def counts(self) -> dict[str, int]:
        return dict(ask(url(self.site), "ping", PATIENCE).value["refused"])

    def new_counts(self) -> dict[str, int]:
        """What it has refused since."""
        return {kind: count - self.refused.get(kind, 0) for kind, count in self.counts().items()}

    def unharmed(self, megabytes: int = 30) -> None:
        """`megabytes` is how much larger it may be."""
        prompt(self.site)
        wait_for(lambda: self.count_descriptors() <= self.descriptors + 3, "its descriptors are back")
        assert resident(self.daemon.pid) <= self.memory + megabytes
        lines = self.daemon.log.count("refused a message")
        assert lines <= time.monotonic() - self.began + 2, self.daemon.log
        assert "service" not in self.daemon.log
        assert "Traceback" not in self.daemon.log
        assert self.daemon.stop() == 0


@contextlib.contextmanager
def stranger(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """The URL of a TCP server that is no node: `serve` has each connection, in a thread of its own."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            with contextlib.suppress(OSError):  # the server is closed
                while True:
                    connection, _ = server.accept()
                    held.append(connection)
                    threading.Thread(target=work, args=[connection], daemon=True).start()

        def work(connection: socket.socket) -> None:
            with contextlib.suppress(OSError):
                serve(connection)

        held: list[socket.socket] = []
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield f"tcp://127.0.0.1:{server.getsockname()[1]}"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(PATIENCE)
            for connection in held:
                connection.close()
