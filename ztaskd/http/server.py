"""The connections of --http: a request's head comes in, an answer goes out, the connection is closed.

Smaller than any web server, on purpose: no bodies, no second request, no chunks, so that a peer can hold
little memory, and nothing for long.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from contextlib import closing, suppress
from email.utils import formatdate
from http import HTTPStatus
from typing import NamedTuple

import gevent

# Bytes of a request's head; seconds that a connection has, from its first moment to its last; connections at a time:
# with more, the oldest goes, so that who holds many keeps nobody out.
HEAD, SECONDS, MOST = 8192, 5.0, 64

PAUSE = 0.1  # seconds before the next try to accept, when there are no descriptors left

# Bytes of a body that are read and thrown away: a peer that is still sending would not hear the answer otherwise.
BODY = 65536


class Request(NamedTuple):
    """What matters of it. `json`: it is to be answered in JSON."""

    method: str
    path: str
    json: bool


class Answer(NamedTuple):
    """`allow`: the methods there are, when the request's is none of them."""

    status: HTTPStatus
    kind: str
    body: bytes
    allow: str = ""


class Server:
    """`answer` may wait, but not block."""

    def __init__(self, answer: Callable[[Request], Answer]) -> None:
        self._answer = answer
        self._open: dict[gevent.Greenlet, None] = {}  # in the order of their beginning

    def serve(self, listener: socket.socket) -> None:
        """Until the greenlet is killed. Raises OSError when the listener is gone (a task may close anything)."""
        while True:
            try:
                client, _ = listener.accept()
            except OSError as error:  # no descriptors left, or the peer is gone already
                if error.errno in (errno.EBADF, errno.EINVAL, errno.ENOTSOCK):
                    raise
                gevent.sleep(PAUSE)
                continue
            self._start(client)
            gevent.sleep(0)  # (a crowd that knocks must not keep the hub)

    def _start(self, client: socket.socket) -> None:
        if len(self._open) >= MOST:
            next(iter(self._open)).kill(block=False)
        greenlet = gevent.Greenlet(self._hear, client)
        self._open[greenlet] = None
        greenlet.rawlink(lambda ended: self._open.pop(ended, None))
        greenlet.start()

    def _hear(self, client: socket.socket) -> None:
        with closing(client), suppress(OSError), gevent.Timeout(SECONDS, False):  # type: ignore[arg-type]
            head = _head(client)
            if head is None:
                return
            request = parse(head)
            answer = BAD if request is None else self._answer(request)
            client.sendall(_bytes(answer, request is None or request.method != "HEAD"))
            client.shutdown(socket.SHUT_WR)
            read = 0
            while read < BODY and (data := client.recv(4096)):
                read += len(data)


def _head(client: socket.socket) -> bytes | None:
    """Up to the empty line. None: the peer is gone. What is longer than HEAD is none, and comes out empty."""
    data = b""
    while b"\r\n\r\n" not in data and b"\n\n" not in data and len(data) < HEAD:
        more = client.recv(HEAD - len(data))
        if not more:
            return None
        data += more
    return data if b"\r\n\r\n" in data or b"\n\n" in data else b""


def parse(head: bytes) -> Request | None:
    """None: that is no HTTP."""
    first, _, rest = head.partition(b"\n")
    words = first.decode("latin-1").split()
    if len(words) != 3 or words[2] not in ("HTTP/1.0", "HTTP/1.1"):
        return None
    json = any(
        name.strip().lower() == b"accept" and b"application/json" in value.lower()
        for name, _, value in (line.partition(b":") for line in rest.splitlines())
    )
    return Request(words[0], words[1].partition("?")[0], json)


def _bytes(answer: Answer, with_body: bool) -> bytes:
    lines = [
        f"HTTP/1.1 {answer.status.value} {answer.status.phrase}",
        f"Date: {formatdate(usegmt=True)}",
        f"Content-Type: {answer.kind}",
        f"Content-Length: {len(answer.body)}",
        *([f"Allow: {answer.allow}"] if answer.allow else []),
        "Cache-Control: no-store",
        "Connection: close",
    ]
    return "\r\n".join([*lines, "\r\n"]).encode("latin-1") + (answer.body if with_body else b"")


def text(status: HTTPStatus, body: str, allow: str = "") -> Answer:
    return Answer(status, "text/plain; charset=utf-8", f"{body}\n".encode(), allow)


BAD = text(HTTPStatus.BAD_REQUEST, "no HTTP request, or one that is too long")
