"""What systemd is told (sd_notify(3)): short datagrams to $NOTIFY_SOCKET. Nobody waits for that, nothing is raised, and
without such a variable nothing happens. No gevent in here: the reloader's parent speaks as well.
"""

from __future__ import annotations

import _socket  # (not socket: gevent's would wait)
import fcntl
import os
import time
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import suppress
from typing import Any

# What systemd tells us. Taken away at once: no task, no child and no command that a task starts is to speak for us.
SOCKET, EVERY, WHOM = "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"

# Seconds that one step of a boot may take beyond the unit's own limit.
BOOT_STEP = 90

# Characters of a reason: a status is one line.
REASON = 200

# A sign of life; and what must not be lost.
ALIVE = "WATCHDOG=1"
LASTING = (b"READY=1", b"RELOADING=1", b"STOPPING=1")

# Our descriptor gets a number from this one on, out of a careless task's way.
HIGH = 100


class Manager:
    """The service manager that has started us, if it wants to hear of us. `watchdog`: seconds within which it wants a
    sign of life, again and again; None: it wants none."""

    def __init__(self) -> None:
        self.listens = False
        self.watchdog: float | None = None
        self.environment: dict[str, str] = {}  # what a program that takes our place has to find
        self._send: Callable[[bytes], None] = self._to_socket
        self._socket: Any = None
        self._owed: list[bytes] = []  # what it has had no room for
        self._status = self._refused = ""
        self._armed = (
            False  # the first sign of life arms systemd's watchdog, and no boot is to be killed by it
        )

    def take(self, environment: MutableMapping[str, str], again: bool = False) -> None:
        """Once, as early as can be. `again`: a former self has served under this process id."""
        found = {name: environment.pop(name) for name in (SOCKET, EVERY, WHOM) if name in environment}
        self.listens = found.get(SOCKET, "").startswith(("/", "@"))
        if self.listens:
            self._armed = again
            self.environment = found
            self.watchdog = _watchdog(found)

    def use(self, send: Callable[[bytes], None], watchdog: float | None) -> None:
        """Under the reloader: it is the service, and passes on what we say."""
        self.listens, self.watchdog, self._send = True, watchdog, send

    # -- what there is to say -----------------------------------------------------------------------

    def booting(self, step: str) -> None:
        """The next step of a boot, which may take its time."""
        self._say(f"STATUS=booting: {step}", _extended(BOOT_STEP), *[ALIVE] * self._armed)

    def ready(self, status: str) -> None:
        """It serves."""
        self._status = status
        self._say("READY=1", self._line(), ALIVE)

    def reloading(self, seconds: float) -> None:
        """New code was asked for, and `ready` or `refused` will follow within so many seconds."""
        self._refused = ""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._say("RELOADING=1", f"MONOTONIC_USEC={now}", "STATUS=reloading", _extended(seconds))

    @property
    def refusal(self) -> str | None:
        """Why new code was refused, if the last was. (Said here, whether a manager listens or not.)"""
        return self._refused or None

    def refused(self, reason: str) -> None:
        """The new code was; the old code serves on."""
        self._refused = f"the new code was refused, the old code goes on: {_short(reason)}"
        self.ready(self._status)

    def stopping(self, seconds: float, status: str) -> None:
        """It is gone within so many seconds."""
        self._say("STOPPING=1", f"STATUS={status}", _extended(seconds))

    def more_time(self, seconds: float, status: str) -> None:
        """For what it is at."""
        self._say(f"STATUS={status}", _extended(seconds))

    def status(self, status: str) -> None:
        """What it does."""
        self._status = status
        self._say(self._line())

    def failed(self, reason: str) -> None:
        """Why it ends."""
        self._say(f"STATUS={_short(reason)}")

    def alive(self) -> bool:
        """False: to be said again soon, there was no room. (Without a watchdog: only what is owed is said.)"""
        return self.pass_on(ALIVE.encode()) if self.listens and (self.watchdog or self._owed) else True

    def is_heard(self) -> bool:
        """False while it is owed something that it must hear."""
        return not self._owed

    # -- how it is said -----------------------------------------------------------------------------

    def pass_on(self, text: bytes) -> bool:
        """False when there was no room; what is more than a sign of life goes out later, then."""
        while self._owed:
            if not self._sent(self._owed[0]):
                break
            self._owed.pop(0)
        if not self._owed and self._sent(text):
            return True
        if text.startswith(LASTING):
            self._owed.append(text)
        return False

    def _say(self, *lines: str) -> None:
        if self.listens:
            self.pass_on("\n".join(" ".join(line.split()) for line in lines).encode(errors="replace"))

    def _line(self) -> str:
        return f"STATUS={'; '.join(filter(None, [self._refused, self._status]))}"

    def _sent(self, text: bytes) -> bool:
        """True also when nobody is there to hear it."""
        try:
            self._send(text)
        except BlockingIOError:
            return False
        except OSError:
            pass
        return True

    def _to_socket(self, text: bytes) -> None:
        """Raises OSError; BlockingIOError when there is no room."""
        try:
            self._socket = self._socket or self._connected()
            self._socket.send(text, _socket.MSG_DONTWAIT | _socket.MSG_NOSIGNAL)
        except BlockingIOError:
            raise
        except OSError:  # a task has closed it, or another one listens at that address by now
            self._forget()
            self._socket = self._connected()
            self._socket.send(text, _socket.MSG_DONTWAIT | _socket.MSG_NOSIGNAL)

    def _connected(self) -> Any:
        address = self.environment[SOCKET]
        low = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
        try:
            low.connect("\0" + address[1:] if address.startswith("@") else address)
            return _socket.socket(fileno=fcntl.fcntl(low.fileno(), fcntl.F_DUPFD_CLOEXEC, HIGH))
        finally:
            low.close()

    def _forget(self) -> None:
        """Closes it, if that number is still a socket of ours."""
        lost, self._socket = self._socket, None
        if lost is not None:
            with suppress(OSError):
                if lost.getpeername() in (self.environment[SOCKET], _abstract(self.environment[SOCKET])):
                    lost.close()
            with suppress(OSError):
                lost.detach()


def _abstract(address: str) -> bytes:
    return b"\0" + os.fsencode(address[1:])


def _watchdog(found: Mapping[str, str]) -> float | None:
    """Seconds; None also when another process is meant."""
    if found.get(WHOM, str(os.getpid())) != str(os.getpid()) or not found.get(EVERY, "").isdecimal():
        return None
    return int(found[EVERY]) / 1e6 or None


def _extended(seconds: float) -> str:
    return f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}"


def _short(reason: str) -> str:
    """Of a traceback: what was raised."""
    lines = reason.strip().splitlines() or [""]
    return " ".join(lines[-1:] if "Traceback" in reason else lines)[:REASON]


manager = Manager()
