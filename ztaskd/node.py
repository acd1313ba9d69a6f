"""The node: start and serve (how it stops: stopping.py). Owns the service greenlets."""

from __future__ import annotations

import functools
import gc
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from ztaskd.lanes import CHILDREN, FEWER_SLOTS, MORE_CHILDREN, MOST_SUSPECTS, SLOTS, Lane, SuspectsLane
from ztaskd.lease import Lease
from ztaskd.notify import manager
from ztaskd.pauses import Pauses
from ztaskd.progress import Reports
from ztaskd.reader import Reader
from ztaskd.restart import Restart
from ztaskd.services import Services, every
from ztaskd.signals import Signals
from ztaskd.signs import Signs
from ztaskd.stopping import Stopping
from ztaskd.storage import TROUBLE, storage_for
from ztaskd.telling import Telling
from ztaskd.watchdog import Watchdog
from ztaskd.workers.pool import Workers
from ztaskd.workers.temporary import TemporaryWorkers

if TYPE_CHECKING:
    from ztaskd.handover import Handover
    from ztaskd.http.service import Http

# Seconds between two looks after children that are idle, and between two writes of how far tasks are.
TEND = 0.5

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
        handover: Handover | None,
        http: Http | None = None,
    ) -> None:
        self.lease = lease
        self.grace = grace
        self.workers = workers
        self.suspects = TemporaryWorkers(min(MOST_SUSPECTS, concurrency), workers.level, workers.limits)
        self.multiprocess = multiprocess
        self.committer = Committer(storage_for(conf.database), lease.boot, self._answered, lease.touch)
        self.concurrency = concurrency
        self.dispatcher = Dispatcher(self.committer, self._lanes)
        self.reports = Reports(self.dispatcher, self.committer.say, [self.workers, self.suspects])
        self.housekeeping = Housekeeping(self.committer, self.dispatcher, lease.boot, locks, disk)
        self.cancels = Cancels(self.committer, self.dispatcher, lease.boot)
        self.pauses = Pauses(self.committer, self.dispatcher, lease.boot)
        self.intake = Intake(lease.url, Reader(self.dispatcher.named, lease.name, self.cancels.heard))
        self.services = Services(self._lost)
        self.signs = Signs(self)
        self.handover = handover
        self.http = http
        self.code = Exit.CLEAN
        self._hub_thread = thread_id()
        self._loop = gevent.get_hub().loop
        self._stop = Event()
        renew = handover.renew if handover else Restart(self._stop).ask
        self.signals = Signals(self._stop.set, renew, handover.stopping if handover else None)
        commands = {**Telling(self).commands(), "pauses": self.pauses.asked}
        self.intake.reader.commands.update(commands)
        slots.prepare_connections(self._hub_thread, thread_id)
        transport.deliver_to(self._deliver, self._deliver_cancels)

    def _lanes(self, attempts: Attempts) -> list[Lane]:
        """The first is that of tasks which do not say where they run."""
        died: Callable[[Any], None] = lambda dead: self._lost("slot", dead.exception)  # noqa: E731
        attempts.workers, attempts.suspects = self.workers, self.suspects
        here = self.slots = slots.Slots(self.concurrency, attempts.run, died)
        children = slots.Slots(self.workers.size, attempts.run_in_child, died)
        suspects = slots.Slots(self.suspects.size, attempts.run_suspect, died)
        self.watchdog = Watchdog(here, [(children, self.workers), (suspects, self.suspects)])
        if self.multiprocess:
            return [Lane(MORE_CHILDREN, children), Lane(FEWER_SLOTS, here), SuspectsLane(suspects)]
        return [Lane(SLOTS, here), Lane(CHILDREN, children), SuspectsLane(suspects)]

    def bind(self) -> None:
        """Takes the address. Raises AddressInUse or BadAddress; Refusal for that of --http."""
        self.intake.bind()
        if self.http is not None:
            self.http.bind()

    def run(self, replay: bool, began: float) -> Exit:
        """Serves until a signal or a service that cannot be mended ends it. Returns the exit code."""
        self.signals.watch()
        self.watchdog.start()
        self.committer.start()
        self.services.start("committer", self.committer.serve, mend=False)
        if self.http is not None:
            self.http.start(self)
        if manager.listens:
            self.services.start("signs", self.signs.serve)
        self.housekeeping.look_at_disk()
        self._take_stock(replay)
        self._start_services()
        gc.freeze()  # what the project has imported stays: the collector need not look through it again
        self._say_ready(began)
        if self.handover is not None:
            self.services.start("handover", functools.partial(self.handover.serve, self._stop.set))
        self._stop.wait()
        Stopping(self).drain()
        return self.code

    # -- starting -----------------------------------------------------------------------------------

    def _start_services(self) -> None:
        self.services.start("intake", self.intake.serve)
        self.services.start("clock", self.dispatcher.watch_clock)
        self.services.start("cancels", self.cancels.serve)
        self.services.start("pauses", self.pauses.serve)
        self.services.start("aside", self.pauses.bring_back)
        self.services.start("lease", every(self.lease.seconds / 3, self._renew))
        self.services.start("workers", every(TEND, self._tend))
        self.housekeeping.start(self.services)
        if self.multiprocess:
            self.workers.warm_up()

    def _take_stock(self, replay: bool) -> None:
        self.committer.call(self.lease.register)
        self.pauses.start()  # (who pauses a queue meanwhile finds us registered, or we find that it is paused)
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
        self.signs.ready()

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

    def _tend(self) -> None:
        """(One wake-up for all: an idle node has little else to do.)"""
        self.workers.tend()
        self.suspects.tend()
        self.reports.flush()

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
