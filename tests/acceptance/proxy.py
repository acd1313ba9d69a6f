"""A proxy in front of PostgreSQL's socket, which cuts a session at the COMMIT that a test chooses."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path

NAME = ".s.PGSQL.5432"


class Proxy:
    """Its Unix socket lies in `folder`. `arm` it, and it cuts one session."""

    def __init__(self, folder: Path, server: Path) -> None:
        self.folder = folder
        self.server = server
        self.cut = threading.Event()  # it has done so
        self._wanted: tuple[bytes, bool] | None = None
        self._sockets: list[socket.socket] = []
        self._listener = self._new()
        self._listener.bind(str(folder / NAME))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def arm(self, statement: bytes, committed: bool) -> None:
        """The next transaction with this text in it ends in a lost connection: at its COMMIT, which has
        reached the server (`committed`) or has not."""
        self.cut.clear()
        self._wanted = statement, committed

    def close(self) -> None:
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for each in self._sockets:
            each.close()

    def _new(self) -> socket.socket:
        made = socket.socket(socket.AF_UNIX)
        self._sockets.append(made)
        return made

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            self._sockets.append(client)
            server = self._new()
            server.connect(str(self.server / NAME))
            session = Session(self, client, server)
            threading.Thread(target=session.requests, daemon=True).start()
            threading.Thread(target=session.answers, daemon=True).start()

    def cuts(self, transaction: bytes) -> bool | None:
        """Whether this one is to be cut at its COMMIT, and how; then no other will be."""
        if self._wanted is None or self._wanted[0] not in transaction:
            return None
        (_, committed), self._wanted = self._wanted, None
        return committed


class Session:
    """One connection of a client, and its own to the server. Each direction is a thread."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self.proxy = proxy
        self.client = client
        self.server = server
        self.silent = False  # nothing of what the server says reaches the client any more

    def requests(self) -> None:
        seen = b""
        with contextlib.suppress(OSError):
            while data := self.client.recv(1 << 16):
                seen = data if b"BEGIN" in data else seen + data
                committed = self.proxy.cuts(seen) if b"COMMIT\0" in data else None
                if committed is not None:
                    self.silent = True
                    if committed:
                        self.server.sendall(data)  # the answers' thread goes on when it is done
                    else:
                        self.end()
                    return
                self.server.sendall(data)
        self.end()

    def answers(self) -> None:
        with contextlib.suppress(OSError):
            while data := self.server.recv(1 << 16):
                if self.silent:
                    break  # it has answered: the COMMIT is done
                self.client.sendall(data)
        self.end()

    def end(self) -> None:
        for each in (self.client, self.server):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        if self.silent:
            self.proxy.cut.set()
