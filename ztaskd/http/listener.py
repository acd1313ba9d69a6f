"""The socket that --http listens on. A start is refused when somebody else has the port; new code that takes over
comes up all the same, and waits for it: tasks go before figures.
"""

from __future__ import annotations

import socket

import gevent

from ztaskd import events
from ztaskd.addresses import holder_of_port
from ztaskd.cli import Exit
from ztaskd.http.address import Address
from ztaskd.project import Refusal

BACKLOG = 64  # connections not accepted yet

AGAIN = 0.2  # seconds between two tries to get a port that somebody else has


class Listener:
    """`told`: on the command line, where no edit of the project mends it."""

    def __init__(self, address: Address, told: bool) -> None:
        self.address = address
        self._told = told
        self._socket: socket.socket | None = None

    def bind(self) -> None:
        """Raises Refusal: in use (3), or not to be had (2)."""
        try:
            self._bind()
        except OSError as error:
            raise self._refusal(error) from None

    def _bind(self) -> None:
        """Raises OSError."""
        host, port = self.address
        family, kind, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family, kind)
        try:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # (connections of before may linger)
            found.bind(where)
            found.listen(BACKLOG)
        except OSError:
            found.close()
            raise
        self._socket = found

    def wait(self) -> socket.socket:
        """The bound socket, as soon as the port is to be had. Waits cooperatively."""
        said = False
        while self._socket is None:
            try:
                self._bind()
            except OSError as error:
                if not said:  # (to find out who has it takes the hub some milliseconds)
                    text = f"{self._refusal(error)}. Probes and metrics are not served until it is free"
                    events.emit("error", text=text)
                said = True
                gevent.sleep(AGAIN)
        return self._socket

    def close(self) -> None:
        """Twice is fine."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def bound(self) -> Address:
        """Where it listens: the port is known."""
        assert self._socket is not None
        return Address(self.address.host, self._socket.getsockname()[1])

    def _refusal(self, error: OSError) -> Refusal:
        import errno

        if error.errno == errno.EADDRINUSE:
            holder = holder_of_port(f"http://{self.address}")
            return Refusal(Exit.ADDRESS_IN_USE, f"--http: {self.address} is in use by {holder}")
        reason = error.strerror or str(error)
        return Refusal(Exit.USAGE, f"--http: cannot listen at {self.address}: {reason}", final=self._told)
