"""The server of --http over real sockets: who says nothing, too much or no HTTP; and a port that others have."""

from __future__ import annotations

import socket as native
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any

import gevent
import pytest
from gevent import socket

from ztaskd import events
from ztaskd.cli import Exit
from ztaskd.http import listener as listening
from ztaskd.http import server
from ztaskd.http.address import Address
from ztaskd.http.listener import Listener
from ztaskd.http.server import Answer, Request, Server, text
from ztaskd.project import Refusal

Connect = Callable[[], Any]

# Bytes of an answer: more than sockets hold.
LARGE = 64 * 2**20


def answer(request: Request) -> Answer:
    if request.path == "/slow":
        gevent.sleep(60)
    if request.path == "/large":
        return text(HTTPStatus.OK, "x" * LARGE)
    return text(HTTPStatus.OK, f"{request.method} {request.path} {request.json}")


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    """A new connection to a server that has half a second for each."""
    monkeypatch.setattr(server, "SECONDS", 0.5)
    door = socket.socket()
    door.bind(("127.0.0.1", 0))
    door.listen()
    greenlet = gevent.spawn(Server(answer).serve, door)
    clients: list[Any] = []

    def connect() -> Any:
        clients.append(socket.create_connection(door.getsockname(), timeout=30))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()
    greenlet.kill()
    door.close()


def rest(client: Any) -> bytes:
    """Until the other side closes."""
    found = b""
    try:
        while more := client.recv(65536):
            found += more
    except ConnectionResetError:
        pass
    return found


def test_a_head_may_come_in_pieces_and_the_connection_is_closed_after_it(connect: Connect) -> None:
    client = connect()
    for piece in (b"GET /a?b=c HT", b"TP/1.1\r\nAccept:", b" application/json\r\n", b"\r", b"\n"):
        client.sendall(piece)
        gevent.sleep(0.01)
    found = rest(client)
    assert found.startswith(b"HTTP/1.1 200 OK\r\n")
    assert found.endswith(b"\r\n\r\nGET /a True\n")
    assert b"\r\nConnection: close\r\n" in found


@pytest.mark.parametrize(
    "sent", [b"", b"GET /a", b"GET /a HTTP/1.1\r\nHost: x\r\n", b"GET /slow HTTP/1.1\r\n\r\n"]
)
def test_who_takes_too_long_is_hung_up_on(connect: Connect, sent: bytes) -> None:
    client = connect()
    client.sendall(sent)
    assert rest(client) == b""


def test_who_does_not_read_his_answer_is_hung_up_on(connect: Connect) -> None:
    client = connect()
    client.sendall(b"GET /large HTTP/1.1\r\n\r\n")
    gevent.sleep(1)
    assert len(rest(client)) < LARGE


@pytest.mark.parametrize(
    "sent", [b"\x16\x03\x01\x00\n\n", b"GET\n\n", b"GET / HTTP/2\n\n", b"x" * server.HEAD]
)
def test_what_is_no_request_is_told_so(connect: Connect, sent: bytes) -> None:
    client = connect()
    client.sendall(sent)
    assert rest(client).startswith(b"HTTP/1.1 400 Bad Request\r\n")


def test_a_new_port_is_waited_for_without_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(events, "_subscribers", [lambda event, fields: told.append(str(fields.get("text")))])
    monkeypatch.setattr(listening, "AGAIN", 0.01)
    with native.create_server(("127.0.0.1", 0)) as other:
        door = Listener(Address("127.0.0.1", other.getsockname()[1]), told=True)
        with pytest.raises(Refusal) as refusal:
            door.bind()
        assert refusal.value.code == Exit.ADDRESS_IN_USE
        waiting = gevent.spawn(door.wait)
        gevent.sleep(0.1)
        assert not waiting.dead
    assert waiting.get(timeout=30).getsockname() == door.bound()
    assert len(told) == 1
    assert "Probes and metrics are not served" in told[0]
    door.close()
    door.close()
