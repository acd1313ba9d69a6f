"""Which daemon serves, which boots, which finish: *boot, then take over*. No descriptor is waited for in here.

change -> boot (the old one serves) -> ready -> the old one hands over -> released -> go -> serving
                    |
                    +-> refused: the old one goes on, the next edit tries again
"""

from __future__ import annotations

import signal
import time
from functools import partial
from pathlib import Path

from ztaskd.cli import Exit
from ztaskd.notify import manager
from ztaskd.reload import protocol, say
from ztaskd.reload.around import Loop, Watching
from ztaskd.reload.bytecode import remove_bytecode
from ztaskd.reload.child import Child, Phase
from ztaskd.reload.failures import Failures, ends_the_start, reason

# Seconds beyond the grace in which a daemon lets go, or is gone: its tasks clean up, its last outcomes are written.
LET_GO, GONE = 2.0, 10.0

# Seconds that a daemon has to end by a second signal.
AT_ONCE = 1.0

log = say.logger


class Reloader:
    """`grace`: seconds for what an old daemon still runs."""

    def __init__(self, grace: float, watcher: Watching, loop: Loop) -> None:
        self.grace = grace
        self.watcher = watcher
        self.loop = loop
        self.failures = Failures()
        self.code = int(Exit.CLEAN)
        self.stopping = False
        self.serving: Child | None = None
        self.coming: Child | None = None  # boots, is ready, or takes over
        self.others: list[Child] = []  # finish, or were killed
        self._replay = True  # until a daemon has done it
        self._served = False  # at least once
        self._again = False  # a change came while one took over

    def begin(self) -> None:
        self.watcher.take()
        self._boot()

    def over(self) -> bool:
        return self.stopping and not self.all()

    # -- what happens -------------------------------------------------------------------------------

    def changed(self, paths: frozenset[Path]) -> None:
        """The code has: these files, or (HUP) who knows."""
        if self.stopping:
            return
        remove_bytecode(paths)
        say.changed(paths)
        self.failures.forget()
        if self.coming is not None and self.coming.phase is not Phase.BOOTING:
            self._again = True  # (the old one is letting go, or has: first somebody must serve)
        else:
            self._discard_coming()
            self._boot()

    def _discard_coming(self) -> None:
        if self.coming is not None:
            self.coming.discard()
            self.others.append(self.coming)
            self.coming = None

    def _boot(self) -> None:
        self._again, self.failures.retry = False, None
        try:
            child = Child(self._replay, self.serving)
        except OSError as error:
            log.error("no process can be started for the new code: %s", error)
            self.failures.try_later()
            return
        self.coming = child
        self.loop.listen(child.socket, partial(self._heard, child))
        self.loop.listen(child.gone, partial(self._gone, child))

    def _heard(self, child: Child) -> None:
        messages = child.read()
        if child.ended:
            self.loop.unlisten(child.socket)
        for message in messages:
            word = message["word"]
            if word == protocol.READY:
                self._ready(child, message)
            elif word == protocol.SERVING:
                self._serves(child)
            elif word == protocol.RELEASED:
                self._released(child)
            elif word == protocol.STOPPING:
                self._stops(child)
            elif word == protocol.NOTIFY:
                if child is (self.serving or self.coming):
                    manager.pass_on(message["text"].encode())
            elif word == protocol.REFUSED:
                child.refusal = message
                self._watch(message)

    def _ready(self, child: Child, message: protocol.Message) -> None:
        child.url = message["url"]
        self._watch(message)
        if child is not self.coming:
            return
        child.phase = Phase.READY
        if self.serving is None:
            self._go()
        elif self.serving.phase is Phase.SERVING:
            self.serving.phase = Phase.HANDING_OVER
            self.serving.deadline = time.monotonic() + self.grace + LET_GO
            self.serving.tell(protocol.HAND_OVER)

    def _watch(self, message: protocol.Message) -> None:
        say.use_zone(message["zone"])
        say.use_node(message["node"])
        self.watcher.watch(
            [Path(path) for path in message["folders"]], [Path(path) for path in message["files"]]
        )

    def _released(self, child: Child) -> None:
        child.phase = Phase.FINISHING
        child.deadline = time.monotonic() + self.grace + GONE
        if child is self.serving:
            self.serving = None
            self.others.append(child)
            self._go()
            if self.coming is None and not self.stopping:
                self._boot()

    def _go(self) -> None:
        """Nobody serves: who is ready does."""
        if self.coming is not None and self.coming.phase is Phase.READY:
            self.coming.phase = Phase.TAKING_OVER
            self.coming.tell(protocol.GO)

    def _serves(self, child: Child) -> None:
        if child is not self.coming:
            return
        child.phase, child.served = Phase.SERVING, time.monotonic()
        self.serving, self.coming = child, None
        if self._served:
            log.info("reloaded in %.2f s: pid %d serves", time.monotonic() - child.began, child.pid)
        self._replay, self._served = False, True
        self.failures.forget()
        if self._again and not self.stopping:
            self._boot()

    # -- ends ---------------------------------------------------------------------------------------

    def _gone(self, child: Child) -> None:
        if not child.ended:
            self._heard(child)
        if not child.ended:  # (something that it has left behind holds the socket open)
            self.loop.unlisten(child.socket)
        self.loop.unlisten(child.gone)
        child.bury()
        if child is self.coming:
            self.coming = None
            self._not_come_up(child)
        elif child is self.serving:
            self.serving = None
            self._not_serving(child)
        else:
            self.others.remove(child)
            if child.phase is Phase.FINISHING and child.code and not self.stopping:
                log.error("pid %d, which had handed over: %s", child.pid, child.end())

    def _not_come_up(self, child: Child) -> None:
        if self.stopping:
            return
        code = None if self._served else ends_the_start(child)
        if code is not None:
            say.to_terminal(reason(child))
            self.stopping, self.code = True, code
        else:
            self.failures.not_come_up(child, self.serving is not None)
            if self.serving is not None:
                manager.refused(reason(child))
            if self._again:
                self._boot()

    def _not_serving(self, child: Child) -> None:
        """It let go without a word: it crashed, was killed, or a task has ended it."""
        if self.stopping:
            self.code = self.code or max(child.code or 0, int(Exit.CRASH) if child.code else 0)
        else:
            self.failures.not_gone_on(child)
            self._go()
            if self.coming is None:
                self.failures.try_later()

    # -- the clock ----------------------------------------------------------------------------------

    def wait(self) -> float | None:
        """Seconds until the next `tick`, at the latest."""
        times = [child.deadline for child in self.all()] + [self.failures.retry]
        known = [each for each in times if each is not None]
        return max(0.0, min(known) - time.monotonic()) if known else None

    def tick(self) -> None:
        now = time.monotonic()
        for child in self.all():
            if child.deadline is not None and child.deadline <= now:
                if not self.stopping:
                    log.error("pid %d does not let go of what it runs: killed; that runs again", child.pid)
                child.discard()
        if self.failures.retry is not None and self.failures.retry <= now:
            self.failures.retry = None
            if self.coming is None and not self.stopping:
                self._boot()

    # -- the end ------------------------------------------------------------------------------------

    def _stops(self, child: Child) -> None:
        """Somebody has told it to, perhaps by its own process id. (Who has handed over is not meant.)"""
        if not self.stopping and child in (self.serving, self.coming):
            log.info("pid %d was stopped: so the whole of it stops", child.pid)
            self.stop(child)

    def stop(self, told: Child | None = None) -> None:
        """What runs is finished; what boots is not waited for. `told`: who does so already."""
        self.stopping, self.failures.retry = True, None
        if self.coming is None or self.coming.phase is not Phase.TAKING_OVER:
            self._discard_coming()
        for child in (self.serving, self.coming):
            if child is not None:
                child.deadline = None
                if child is not told:
                    child.stop()

    def stop_at_once(self, number: int = signal.SIGTERM) -> None:
        """`number`: QUIT, if it was that, or the second signal."""
        self.stopping, self.failures.retry, self.code = True, None, int(Exit.CRASH)
        for child in self.all():
            child.signal(number)
            child.deadline = time.monotonic() + AT_ONCE

    def all(self) -> list[Child]:
        return [child for child in (self.serving, self.coming, *self.others) if child is not None]
