"""One booted daemon, seen from the parent: started, spoken to, watched until it is gone."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from contextlib import suppress
from enum import Enum, auto

from ztaskd.again import program
from ztaskd.notify import manager
from ztaskd.reload.protocol import FD, VARIABLE, Feed, Message, pack


class Phase(Enum):
    """How far it has got."""

    BOOTING = auto()
    READY = auto()  # everything is loaded; nothing is taken
    TAKING_OVER = auto()  # told to
    SERVING = auto()
    HANDING_OVER = auto()  # told to
    FINISHING = auto()  # has let go; its last tasks run
    DISCARDED = auto()  # killed, because newer code is there or it did not let go


class Child:
    """`predecessor`: the daemon that serves while this one boots. To be made in the parent's main thread: the child
    ends with the thread that has started it. Raises OSError when it cannot be started."""

    def __init__(self, replay: bool, predecessor: Child | None) -> None:
        given = {
            "parent": os.getpid(),
            "replay": replay,
            "notify": {"watchdog": manager.watchdog} if manager.listens else None,
            "predecessor": None if predecessor is None else {"pid": predecessor.pid, "url": predecessor.url},
        }
        self.phase = Phase.BOOTING
        self.url: str = ""
        self.refusal: Message | None = None
        self.began = time.monotonic()
        self.served: float | None = None  # monotonic: since when
        self.deadline: float | None = None  # monotonic: then it is killed
        self.code: int | None = None  # its exit status, as subprocess has it, when it is gone
        self.ended = False  # it has closed its end of the socket
        self._feed = Feed()
        self.socket, theirs = socket.socketpair()
        with theirs:
            actions = [(os.POSIX_SPAWN_DUP2, theirs.fileno(), FD)]
            self.pid: int = program.spawn(file_actions=actions, **{VARIABLE: json.dumps(given)})
        self.socket.setblocking(False)
        self.gone = os.pidfd_open(self.pid)  # readable when it is

    def read(self) -> list[Message]:
        """What it has said. Never waits."""
        messages = []
        with suppress(OSError):
            while data := self.socket.recv(65536):
                messages += self._feed.add(data)
            self.ended = True
        return messages

    def tell(self, word: str) -> None:
        with suppress(OSError):  # it is dead: what it leaves behind says so
            self.socket.sendall(pack(word))

    def stop(self) -> None:
        """Asks it to; the second time it does so at once."""
        self.signal(signal.SIGTERM)

    def signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def report(self) -> None:
        """Asks it to write down what it runs, if it may run something."""
        if self.phase in (Phase.SERVING, Phase.HANDING_OVER, Phase.FINISHING):
            self.signal(signal.SIGUSR1)

    def discard(self) -> None:
        """Ends it at once, and what it has started in its session along with it."""
        self.phase, self.deadline = Phase.DISCARDED, None
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def bury(self) -> None:
        """It is gone: notes how it ended, and gives back what it had here."""
        self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self.socket.close()
        os.close(self.gone)

    def end(self) -> str:
        """How it ended, for people."""
        if self.code is None or self.code >= 0:
            return f"it ended with code {self.code}"
        with suppress(ValueError):
            return f"it was ended by {signal.Signals(-self.code).name}"
        return f"it was ended by signal {-self.code}"
