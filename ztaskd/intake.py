"""The node's one socket: messages in, replies to control messages out. Nothing a peer sends raises out of here."""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from pathlib import Path

import gevent
import zmq as plain
import zmq.green as zmq

from django_ztask.message import MAX_BODY
from ztaskd.addresses import AddressInUse, BadAddress, check_path, holder_of_port, is_loopback
from ztaskd.locks import LockFile
from ztaskd.reader import Reader

# Messages read before the hub turns: a drain "until nothing is left" never ends under load.
BURST = 100

HANDSHAKE = 5000  # milliseconds a peer may take for its handshake
HIGH_WATER = 1000  # messages waiting unread, per peer
BACKLOG = 1024  # connections not accepted yet: with more, a peer has to knock again, a second later
REPLIES = 100  # replies waiting unread, per peer; then they are dropped

# Frames of a message that are looked at: the peer's id, two, and one that is too many. A peer can send
# millions in one message: the hub turns after so many of them.
FRAMES, FRAME_BURST = 4, 1000


# Each peer takes one descriptor of ours, also one that says nothing. The customary soft limit of 1024 would
# let a thousand of them keep tasks from opening files (and at an ipc:// address libzmq ends the process when
# there is none left); many more make some programs slow.
DESCRIPTORS = 65536


class Intake:
    """A ROUTER on `url`. Raises AddressInUse when somebody else has it."""

    def __init__(self, url: str, reader: Reader) -> None:
        self.url = url
        self.reader = reader
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._lock: LockFile | None = None
        self._bound: Path | None = None
        for option, value in (
            (zmq.LINGER, 0),
            (zmq.RCVHWM, HIGH_WATER),
            (zmq.SNDHWM, REPLIES),
            (zmq.MAXMSGSIZE, MAX_BODY),
            (zmq.BACKLOG, BACKLOG),
            # Any name: with one, libzmq refuses peers of its protocol's versions 1 and 2. What is not ZeroMQ at
            # all (an HTTP client) would pass for version 1, and keep its connection for ever.
            (zmq.ZAP_DOMAIN, b"ztaskd"),
            (zmq.HANDSHAKE_IVL, HANDSHAKE),
            (zmq.HEARTBEAT_IVL, 5000),
            (zmq.HEARTBEAT_TIMEOUT, 15000),
            (zmq.IPV6, int("[" in url)),
        ):
            self._socket.setsockopt(option, value)

    def bind(self) -> None:
        _allow_descriptors()
        if self.url.startswith("ipc://"):
            self._bind_ipc(Path(self.url[len("ipc://") :]))
        elif not is_loopback(self.url):
            raise BadAddress(
                f"ZTASKD_URL: {self.url} can be reached from other machines, and this version cannot encrypt: "
                "bind to 127.0.0.1, or use ipc:///path"
            )
        else:
            try:
                # (libzmq binds to addresses, not to names)
                self._socket.bind(self.url.replace("//localhost:", "//127.0.0.1:"))
            except zmq.ZMQError as error:
                if error.errno == zmq.EADDRINUSE:
                    raise AddressInUse(self.url, holder_of_port(self.url)) from None
                raise BadAddress(f"ZTASKD_URL: cannot bind {self.url}: {error}") from None

    def _bind_ipc(self, path: Path) -> None:
        """A second process could bind the same path and take all messages: the lock is asked first."""
        old = os.umask(0o077)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = LockFile(Path(f"{path}.lock"))
            if not self._lock.acquire(f"pid {os.getpid()}"):
                raise AddressInUse(self.url, self._lock.holder())
            check_path(self.url, path)
            self._socket.bind(self.url)
            self._bound = path
        except (OSError, zmq.ZMQError) as error:
            raise BadAddress(f"ZTASKD_URL: cannot bind {self.url}: {error}") from None
        finally:
            os.umask(old)

    def serve(self) -> None:
        """A service greenlet. Waits in a blocking recv: zmq's descriptor is edge-triggered, and a poll on
        it stalls for a second now and then."""
        while True:
            for _ in range(BURST):
                self._serve_one()
            gevent.sleep(0)

    def _serve_one(self) -> None:
        peer, *frames = self._receive()
        reply = self.reader.read(frames)
        if reply is not None:
            with suppress(zmq.ZMQError):  # the peer is gone, or does not read
                self._socket.send_multipart([peer, *reply], zmq.NOBLOCK)

    def _receive(self) -> list[bytes]:
        """The next message's first frames."""
        frames = [self._socket.recv()]
        count = 1
        # A message is there as a whole: its other frames need no green waiting, which costs six times as much.
        while plain.Socket.getsockopt(self._socket, zmq.RCVMORE):
            frame = plain.Socket.recv(self._socket, zmq.NOBLOCK)
            count += 1
            if count <= FRAMES:
                frames.append(frame)
            elif count % FRAME_BURST == 0:
                gevent.sleep(0)
        return frames

    def close(self) -> None:
        """Twice, or before bind, is fine."""
        self._socket.close(0)
        self._context.term()
        if self._lock is not None:
            if self._bound is not None:
                self._bound.unlink(missing_ok=True)
                self._bound = None
            self._lock.release()


def _allow_descriptors() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < most:
        with suppress(OSError, ValueError):  # some systems allow less than they say
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
