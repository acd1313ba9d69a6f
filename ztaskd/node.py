"""The node: start, serve, drain, stop. Owns the service greenlets and the signal flags."""

from __future__ import annotations

import functools
import gc
import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import gevent
from gevent import monkey
from gevent.event import Event

from django_ztask import __version__, replays, transport
from django_ztask.conf import conf
from ztaskd import events, slots
from ztaskd.attempt import Attempts
from ztaskd.cancels import Cancels
from ztaskd.cli import Exit
from ztaskd.committer import Committer
from ztaskd.dispatch import Dispatcher
from ztaskd.housekeeping import Housekeeping
from ztaskd.intake import Intake
from ztaskd.lanes import CHILDREN, FEWER_SLOTS, MORE_CHILDREN, SLOTS, Lane
from ztaskd.lease import Lease
from ztaskd.reader import Reader
from ztaskd.services import Services, every
from ztaskd.storage import TROUBLE, storage_for
from ztaskd.workers.pool import Workers

# Seconds that an interrupted task has for its own cleaning up.
INTERRUPTED = 2.0

# Seconds between two looks after children that are idle.
TEND = 0.5

# Seconds in which the last outcomes must be written; what is not stays claimed, and is recovered.
FLUSH = 5.0

# One stop request often arrives twice at once: from a terminal or a `timeout` to the process group, and
# from a parent that passes it on. A second one within these seconds is the first.
SAME_REQUEST = 0.1

thread_id = monkey.get_original("_thread", "get_ident")


class Node:
    """One running ztaskd."""

    def __init__(
        self,
        lease: Lease,
        *,
        locks: Path,
        disk: Path | None,
        concurrency: int,
        grace: float,
        workers: Workers,
        multiprocess: bool,
    ) -> None:
        self.lease = lease
        self.grace = grace
        self.workers = workers
        self.multiprocess = multiprocess
        self.committer = Committer(storage_for(conf.database), lease.boot, self._answered, lease.touch)
        self.concurrency = concurrency
        self.dispatcher = Dispatcher(self.committer, self._lanes)
        self.housekeeping = Housekeeping(self.committer, self.dispatcher, lease.boot, locks, disk)
        self.cancels = Cancels(self.committer, self.dispatcher, lease.boot)
        self.intake = Intake(lease.url, Reader(self.dispatcher.named, lease.name, self.cancels.heard))
        self.services = Services(self._lost)
        self.signals = 0
        self._last_signal = float("-inf")
        self.code = Exit.CLEAN
        self._hub_thread = thread_id()
        self._loop = gevent.get_hub().loop
        self._stop = Event()
        self._signalled = self._loop.async_()
        slots.prepare_connections(self._hub_thread, thread_id)
        transport.deliver_to(self._deliver, self._deliver_cancels)

    def _lanes(self, attempts: Attempts) -> list[Lane]:
        """The first is that of tasks which do not say where they run."""

        def died(dead: Any) -> None:
            self._lost("slot", dead.exception)

        attempts.workers = self.workers
        here = slots.Slots(self.concurrency, attempts.run, died)
        children = slots.Slots(self.workers.size, attempts.run_in_child, died)
        if self.multiprocess:
            return [Lane(MORE_CHILDREN, children), Lane(FEWER_SLOTS, here)]
        return [Lane(SLOTS, here), Lane(CHILDREN, children)]

    def bind(self) -> None:
        """Takes the address. Raises AddressInUse or BadAddress."""
        self.intake.bind()

    def run(self, replay: bool, began: float) -> Exit:
        """Serves until a signal or a service that cannot be mended ends it. Returns the exit code."""
        self._watch_signals()
        self.committer.start()
        self.services.start("committer", self.committer.serve, mend=False)
        self.housekeeping.look_at_disk()
        self._take_stock(replay)
        self.services.start("intake", self.intake.serve)
        self.services.start("clock", self.dispatcher.watch_clock)
        self.services.start("cancels", self.cancels.serve)
        self.services.start("lease", every(self.lease.seconds / 3, self._renew))
        self.services.start("workers", every(TEND, self.workers.tend))
        self.housekeeping.start(self.services)
        if self.multiprocess:
            self.workers.warm_up()
        gc.freeze()  # what the project has imported stays: the collector need not look through it again
        self._say_ready(began)
        self._stop.wait()
        self._drain()
        return self.code

    # -- starting -----------------------------------------------------------------------------------

    def _take_stock(self, replay: bool) -> None:
        self.committer.call(self.lease.register)
        self.housekeeping.fail_odd()
        if replay:
            count, left_out = self.committer.call(
                functools.partial(replays.replay_failed, now=time.time(), retry_count=conf.retry_count)
            )
            text = f"--replayfailed: {count} failed task(s) queued again, oldest call first"
            if left_out:
                text += f"; {left_out} at_most_once task(s) that had started stay FAILED"
            events.emit("note", text=text)
        self.housekeeping.recover()  # last: what it finds starts at once

    def _say_ready(self, began: float) -> None:
        events.emit(
            "node_ready",
            version=__version__,
            seconds=time.perf_counter() - began,
            name=self.lease.name,
            pid=os.getpid(),
            url=self.lease.url,
            concurrency=self.concurrency,
            journal=conf.database,
        )

    # -- serving ------------------------------------------------------------------------------------

    def _answered(self, answer: Any) -> None:
        self.dispatcher.answered(answer)

    def _deliver(self, ids: Sequence[str], later: float | None) -> None:
        """What tasks (and their threads) enqueue in here goes to the dispatcher directly."""
        if thread_id() == self._hub_thread:
            self.dispatcher.named(ids, later)
        else:
            self._loop.run_callback_threadsafe(self.dispatcher.named, ids, later)

    def _deliver_cancels(self, ids: Sequence[str]) -> None:
        if thread_id() == self._hub_thread:
            self.cancels.heard(ids)
        else:
            self._loop.run_callback_threadsafe(self.cancels.heard, ids)

    def _renew(self) -> None:
        with suppress(*TROUBLE):  # the committer says so; the next renewal is soon
            if not self.committer.call(self.lease.renew):
                events.emit("taken_for_dead")

    def _lost(self, name: str, error: BaseException) -> None:
        if self.services.stopping:
            return
        if name == "slot":
            events.emit("service_died", name=name, error=error, mended=False)
        self.code = Exit.CRASH
        self._stop.set()

    # -- stopping -----------------------------------------------------------------------------------

    def _watch_signals(self) -> None:
        self._signalled.start(self._stop.set)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._flag)

    def _flag(self, number: int, frame: object) -> None:
        """The handler may run inside any task: it only counts, and wakes the hub. The second signal does
        not wait for the hub: a task may be hogging it."""
        now = time.monotonic()
        if now > self._last_signal + SAME_REQUEST:
            self.signals += 1
        self._last_signal = now
        if self.signals > 1:
            # No logging, whose lock may be held here. (stderr is the log's.)
            os.write(2, b"ztaskd: second signal: stopped at once; what ran is recovered at the next start\n")
            os._exit(Exit.CRASH)
        self._signalled.send()

    def _drain(self) -> None:
        """Takes no more, waits for what runs, interrupts what is left, writes everything down."""
        self.services.end("intake")
        self.intake.close()
        self.dispatcher.drain()
        running = self.dispatcher.running()
        if running:
            text = f"stopping: {len(running)} task(s) run, waiting up to {self.grace:g} s (a second signal stops at once)"
            events.emit("note", text=text)
        grace = self.grace if self.code is Exit.CLEAN else 0
        given_up = False
        if not self.dispatcher.drained.wait(grace):
            self.dispatcher.interrupt()
            if not self.dispatcher.drained.wait(INTERRUPTED):
                self.dispatcher.give_up()
                given_up = True
        self._end(given_up)

    def _end(self, given_up: bool) -> None:
        """The last outcomes are written. With tasks that go on, or outcomes that could not be written, the
        process ends here and now: its locks are free when it is gone, and not before."""
        deadline = time.monotonic() + FLUSH
        try:
            self.committer.call(self.lease.remove, timeout=FLUSH)
        except (gevent.Timeout, *TROUBLE):
            pass  # the journal cannot be written: our locks are free soon, which says the same
        self.services.stop()
        self.workers.stop()
        written = self.committer.stop(max(0.1, deadline - time.monotonic()))
        if written:
            events.emit("note", text="stopped" if self.code is Exit.CLEAN else "stopped after an error")
        else:
            events.emit(
                "warning", text="stopped; outcomes that could not be written are recovered at the next start"
            )
        if given_up or not written:
            os._exit(self.code)
