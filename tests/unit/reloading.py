"""Stand-ins around the reloader: daemons that say what a test wants, files that never change, a loop that waits for
nothing.
"""

from __future__ import annotations

import signal

from ztaskd.reload.child import Phase
from ztaskd.reload.protocol import READY, REFUSED, SERVING


class Daemon:
    """Stands for a process: says what the test wants, keeps what it hears."""

    made: list[Daemon] = []

    def __init__(self, replay, predecessor):
        self.pid = 1000 + len(self.made)
        self.replay, self.predecessor = replay, predecessor
        self.phase, self.url, self.refusal = Phase.BOOTING, "", None
        self.began, self.served, self.deadline = 0.0, None, None
        self.code, self.ended = None, False
        self.socket, self.gone = object(), object()
        self.heard, self.saying = [], []
        self.made.append(self)

    def read(self):
        said, self.saying = self.saying, []
        return said

    def tell(self, word):
        self.heard.append(word)

    def stop(self):
        self.heard.append("TERM")

    def signal(self, number):
        self.heard.append(signal.Signals(number).name.removeprefix("SIG"))

    def discard(self):
        self.phase, self.deadline = Phase.DISCARDED, None
        self.heard.append("KILL")

    def bury(self):
        pass

    def end(self):
        return f"it ended with code {self.code}"


class Files:
    def watch(self, folders, files):
        self.watched = folders, files

    def take(self):
        return frozenset()


class Loop:
    def __init__(self):
        self.callbacks = {}

    def listen(self, file, callback):
        assert file not in self.callbacks
        self.callbacks[file] = callback

    def unlisten(self, file):
        del self.callbacks[file]


def says(reloader, daemon, word, **fields):
    if word in (READY, REFUSED):
        fields = {"url": "ipc:///a", "folders": [], "files": [], "zone": None, "node": "shop", **fields}
    daemon.saying.append({"word": word, **fields})
    reloader.loop.callbacks[daemon.socket]()


def ends(reloader, daemon, code):
    daemon.code = code
    reloader.loop.callbacks[daemon.gone]()


def refuses(reloader, daemon, code, final=False):
    says(reloader, daemon, REFUSED, code=code, reason="why", final=final)
    ends(reloader, daemon, code)


def serve(reloader, daemon):
    says(reloader, daemon, READY)
    says(reloader, daemon, SERVING)
