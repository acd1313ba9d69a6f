"""What is shot at, and what may come of it: `decode` and a node's reader in this process, and a real daemon."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import struct
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import zmq

from django_ztask.conf import keys
from django_ztask.control import ask
from django_ztask.message import MAC_LENGTH, MAX_MORE, decode_reply
from tests.acceptance.daemon import MANAGE, MODULE, PATIENCE, ROOT, Daemon, free_port
from tests.acceptance.site import Site
from ztaskd.reader import Reader

SLOW = 1.0  # seconds of this processor that no message may take

GREETING = b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\x00NULL" + bytes(16) + b"\0" + bytes(31)
READY = b"\x04\x29\x05READY\x0bSocket-Type\0\0\0\x06DEALER\x08Identity\0\0\0\0"


class Crash(Exception):
    """Something came out that must not."""


class Inside:
    """`read` as a node's intake calls it, with a dispatcher that checks what it is told."""

    def __init__(self) -> None:
        self.refused: Counter[str] = Counter()
        self.named = 0
        self.begin()

    def begin(self) -> None:
        """Another reader: after 10,000 control messages from the future, all others are stale to the old one."""
        self.reader = Reader(self._named, "fuzz", self._cancelled)
        self.reader.refused = self.refused

    def shoot(self, frames: Sequence[bytes]) -> None:
        began = time.process_time()
        reply = self.reader.read(frames)
        if reply is not None:
            answer = decode_reply(reply, keys("message"))
            if answer.to != frames[0][:MAC_LENGTH]:
                raise Crash("a reply to another message")
        if time.process_time() - began > SLOW:
            raise Crash(f"it took more than {SLOW:g} s")

    def _cancelled(self, ids: Sequence[str]) -> None:
        self._check(ids)
        self.named += 1

    def _check(self, ids: Sequence[str]) -> None:
        if not all(isinstance(name, str) and 0 < len(name) <= 36 for name in ids):
            raise Crash("names that are none")

    def _named(self, ids: Sequence[str], later: float | None, more: float) -> None:
        self._check(ids)
        if later is not None and not abs(later) < float("inf"):
            raise Crash(f"a due time of {later}")
        if not 0 <= more <= MAX_MORE:
            raise Crash(f"a look in {more} s")
        self.named += 1


class Node:
    """A real daemon, its port, and whether it still answers."""

    def __init__(self, daemon: Daemon, url: str) -> None:
        self.daemon = daemon
        self.url = url
        self.address = ("127.0.0.1", int(url.rpartition(":")[2]))

    def send_bytes(self, data: bytes) -> None:
        """On a connection of its own."""
        with contextlib.suppress(OSError), socket.create_connection(self.address, PATIENCE) as connection:
            if data.startswith(GREETING + READY):
                greet(connection)
                data = data[len(GREETING + READY) :]
            connection.sendall(data)

    def send_frames(self, messages: Sequence[Sequence[bytes]]) -> None:
        with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
            dealer.connect(self.url)
            for frames in messages:
                dealer.send_multipart(frames or [b""])
            dealer.close(5000)

    def check(self) -> None:
        try:
            ask(self.url, "ping", PATIENCE)
        except Exception as error:
            raise Crash(f"the daemon (exit code {self.daemon.process.poll()}): {error!r}") from None
        if "service" in self.daemon.log or "Traceback" in self.daemon.log:
            raise Crash(f"the daemon's log: {self.daemon.log[-3000:]}")

    def memory(self) -> int:
        return resident(self.daemon.pid)


def zmtp(frames: Sequence[bytes]) -> bytes:
    """What a DEALER would write for them, greeting and all."""
    last = len(frames) - 1
    parts = [struct.pack(">BQ", 2 + (n < last), len(frame)) + frame for n, frame in enumerate(frames)]
    return b"".join([GREETING, READY, *parts])


def greet(connection: socket.socket) -> None:
    """A DEALER's handshake, to its end: what comes before the node's own part of it is none of its messages."""
    connection.sendall(GREETING + READY)
    heard = b""
    while b"ROUTER" not in heard:
        new = connection.recv(1000)
        if not new:
            raise ConnectionError("no answer to the greeting")
        heard += new


def resident(pid: int | str = "self") -> int:
    """MB of memory that a process has."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) // 1024 if found else 0


@contextlib.contextmanager
def node() -> Iterator[Node]:
    """A daemon on a database and a port of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "empty").touch()
        url = f"tcp://127.0.0.1:{free_port()}"
        site = Site(folder, folder / "empty", ZTASKD_URL=url)
        env = {**site.env(), "HOME": os.environ.get("HOME", name)}
        subprocess.run([*MANAGE[:2], "migrate", "-v0"], env=env, cwd=ROOT, check=True, timeout=PATIENCE)
        try:
            yield Node(site.start(program=MODULE), url)
        finally:
            site.close()
