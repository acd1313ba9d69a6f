"""Stands in for systemd: listens at a socket for what the service says, and notes who has said it, and when."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
import time
from pathlib import Path
from typing import NamedTuple

from tests.acceptance.daemon import wait_for

CREDENTIALS = struct.Struct("3i")  # pid, uid, gid
END = b"that is all"


class Said(NamedTuple):
    """One datagram. `at`: time.monotonic() of its arrival."""

    at: float
    pid: int
    lines: dict[str, str]


class ServiceManager:
    """`address`: a path, or a name that begins with '@'. `watchdog`: WatchdogSec."""

    def __init__(self, address: Path | str, watchdog: float | None = None) -> None:
        self.env = {"NOTIFY_SOCKET": str(address)}
        if watchdog:
            self.env["WATCHDOG_USEC"] = str(int(watchdog * 1e6))
        self.said: list[Said] = []
        self.address = str(address).replace("@", "\0", 1)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.socket.bind(self.address)
        self._thread = threading.Thread(target=self._listen)

    def listen(self) -> ServiceManager:
        self._thread.start()
        return self

    def _listen(self) -> None:
        while True:
            data, more, _, _ = self.socket.recvmsg(8192, socket.CMSG_SPACE(CREDENTIALS.size))
            if data == END:
                return
            pid = CREDENTIALS.unpack(more[0][2])[0]
            lines = dict(line.split("=", 1) for line in data.decode().splitlines())
            self.said.append(Said(time.monotonic(), pid, lines))

    def fill(self) -> None:
        """Until there is no room for another word (before it listens)."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other, contextlib.suppress(BlockingIOError):
            other.setblocking(False)
            while True:
                other.sendto(b"FULL=1", self.address)

    def close(self) -> None:
        if self._thread.is_alive():
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
                end.sendto(END, self.address)
            self._thread.join()
        self.socket.close()
        if not self.address.startswith("\0"):
            os.unlink(self.address)

    def all(self, word: str, value: str = "") -> list[Said]:
        """What has that word, and the value (or whichever)."""
        return [said for said in list(self.said) if word in said.lines and value in said.lines[word]]

    def hears(self, word: str, value: str = "", number: int = 1) -> Said:
        """The so-manieth one of these, once it is there."""
        found = wait_for(
            lambda: said if len(said := self.all(word, value)) >= number else None,
            f"{number} x {word}={value}: {self.said[-9:]}",
        )
        return Said(*found[number - 1])

    def hears_more(self, word: str, number: int = 3) -> Said:
        """So many more, from now on."""
        return self.hears(word, "", len(self.all(word)) + number)
