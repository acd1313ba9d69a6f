"""The daemon's side of the reloader: the socket to the parent, without whom it does not live."""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ztaskd.reload.folders import Code
from ztaskd.reload.protocol import (
    FD,
    GO,
    NOTIFY,
    READY,
    REFUSED,
    RELEASED,
    SERVING,
    STOPPING,
    VARIABLE,
    Feed,
    Message,
    pack,
)

# prctl's number (linux/prctl.h).
PR_SET_PDEATHSIG = 1

# The socket gets a number from this one on, out of a careless task's way.
HIGH = 100


class Link:
    """Made by `take`. `replay`: whether --replayfailed, if given, is still to be done. `predecessor`: the process id
    and the URL of the daemon that serves, if one does. `notify`: how systemd wants to hear of us, if it does."""

    def __init__(
        self,
        fd: int,
        parent: int,
        replay: bool,
        predecessor: Mapping[str, Any] | None,
        notify: Mapping[str, Any] | None,
    ) -> None:
        self.parent = parent
        self.replay = replay
        self.predecessor = predecessor
        self.notify = notify
        high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, HIGH)
        os.close(fd)
        self._socket = socket.socket(fileno=high)
        self._feed = Feed()
        self._heard: list[Message] = []

    @classmethod
    def take(cls) -> Link | None:
        """The link that our parent has left us, if it is a reloader. From here on we end when it ends."""
        text = os.environ.pop(VARIABLE, None)
        if text is None:
            return None
        given = json.loads(text)
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != given["parent"]:  # it died before we could ask
            os._exit(1)
        return cls(FD, **given)

    def wait_for_turn(self, url: str, code: Code) -> None:
        """Everything is loaded: returns when this daemon is to take over. Ends the process when the parent is gone."""
        self._say(READY, url=url, **_known(code))
        while (word := self.hear()) != GO:
            if word is None:
                sys.exit(0)

    def serving(self) -> None:
        self._say(SERVING)

    def released(self) -> None:
        self._say(RELEASED)

    def stopping(self) -> None:
        self._say(STOPPING)

    def pass_on(self, text: bytes) -> None:
        """To systemd, which listens to the parent. Never waits: raises BlockingIOError when there is no room."""
        self._socket.send(pack(NOTIFY, text=text.decode()), socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)

    def refused(self, number: int, reason: str, final: bool, code: Code) -> None:
        """Why this daemon does not come up, or does not go on, and its exit code."""
        self._say(REFUSED, code=int(number), reason=reason, final=final, **_known(code))

    def hear(self) -> str | None:
        """The next word from the parent; other greenlets go on meanwhile. None: it is gone."""
        from gevent.socket import wait_read

        while not self._heard:
            wait_read(self._socket.fileno())
            try:
                data = os.read(self._socket.fileno(), 4096)
            except OSError:
                data = b""
            if not data:
                return None
            self._heard += self._feed.add(data)
        return str(self._heard.pop(0)["word"])

    def _say(self, word: str, **fields: Any) -> None:
        data = pack(word, **fields)
        with suppress(OSError):  # it is gone, and so are we
            while data:
                data = data[os.write(self._socket.fileno(), data) :]


def _known(code: Code) -> dict[str, Any]:
    """What the parent cannot know by itself: Django has set the project's time zone, for example."""
    return {
        "folders": [str(path) for path in code.folders],
        "files": [str(path) for path in code.files],
        "zone": os.environ.get("TZ"),
        "node": _node(),
    }


def _node() -> str | None:
    from django_ztask.conf import conf

    with suppress(Exception):  # settings that do not load raise anything; why, is said elsewhere
        return conf.node
    return None
