"""What a node looks after beside its tasks: lost claims, dead nodes, functions nobody knows, old rows, and
room on the disk.
"""

from __future__ import annotations

import functools
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import gevent

from django_ztask import upkeep
from django_ztask.conf import conf
from django_ztask.lifecycle import UNKNOWN_GRACE
from ztaskd import events
from ztaskd.committer import Committer
from ztaskd.dispatch import Dispatcher
from ztaskd.recover import boot_lock, recover_dead
from ztaskd.services import Services, every
from ztaskd.storage import LOCK_PATIENCE, TROUBLE

# Seconds between two rounds: lost claims, dead nodes, functions nobody knows.
ROUND = 10.0

# Seconds for which a task function that could not be found is not looked for again.
FORGET_UNKNOWN = 60.0

# Rows pruned in one transaction, seconds between two rounds of pruning, and how much longer than a batch took
# the next one is put off: others wait for SQLite's lock a millisecond or two, once in a while.
PRUNE_BATCH, PRUNE_ROUND, PRUNE_REST = 100, 30.0, 4.0

# Seconds after which a database that owes an answer is reported: more than it may wait for a lock.
SILENCE = LOCK_PATIENCE + 2.0

# Seconds between two looks at the disk; how much more than ZTASKD_HEADROOM must be free to go on again.
DISK_ROUND, DISK_RELIEF = 1.0, 1.25

# Why the dispatcher claims nothing.
DISK = "too little room on the journal's disk"


class Housekeeping:
    """Service greenlets that work for one node. Started by `start`."""

    def __init__(
        self, committer: Committer, dispatcher: Dispatcher, boot: str, locks: Path, disk: Path | None
    ) -> None:
        self.committer = committer
        self.dispatcher = dispatcher
        self.boot = boot
        self.locks = locks
        self.disk = disk  # a folder on the journal's disk, when that is this machine's
        # The next daemon looks after all but our own claims. (Said, not ended: what a transaction that goes on has done
        # is to be told, too.)
        self.passed_on = False
        self._silent = False

    def start(self, services: Services) -> None:
        services.start("housekeeping", every(ROUND, self._round))
        services.start("silence", every(1.0, self._tell_silence))
        services.start("unknown", every(FORGET_UNKNOWN, self.dispatcher.forget_unknown))
        if conf.keep is not None:
            services.start("prune", every(min(PRUNE_ROUND, max(conf.keep / 10, 0.1)), self._prune))
        if self.disk is not None and conf.headroom:
            services.start("disk", every(DISK_ROUND, self.look_at_disk))

    def recover(self) -> None:
        """Takes back what nodes that are gone had claimed."""
        recovered = self.committer.call(
            functools.partial(recover_dead, folder=self.locks, own_boot=self.boot)
        )
        for boot in recovered.boots:  # (now that it is committed)
            boot_lock(self.locks, boot).unlink(missing_ok=True)
        for task_id, function in recovered.cancelled:
            events.emit("task_cancelled", id=task_id, function=function)
        for task_id, function in recovered.failed:
            events.emit("task_failed_interrupted", id=task_id, function=function)
        if recovered.queued:
            text = (
                f"recovered {len(recovered.queued)} task(s) of a node that is gone: each runs again, alone in a child "
                "process, in case one of them ended it"
            )
            events.emit("note", text=text)
            self.dispatcher.look(anyway=True)

    def fail_odd(self) -> None:
        """FAILs rows that would never be due, so that nobody waits for them."""
        for task_id, function in self.committer.call(functools.partial(upkeep.fail_odd, now=time.time())):
            events.emit("task_failed_odd", id=task_id, function=function)

    def look_at_disk(self) -> None:
        """With too little room the ends of tasks could not be written, and they would run again: so no more
        are started until there is some."""
        if self.disk is None or not conf.headroom:
            return
        try:
            free = shutil.disk_usage(self.disk).free
        except OSError:
            return
        paused = DISK in self.dispatcher.paused
        if not paused and free < conf.headroom:
            self.dispatcher.paused.add(DISK)
            events.emit("disk_low", free=free, wanted=conf.headroom, folder=self.disk)
        elif paused and free >= conf.headroom * DISK_RELIEF:
            events.emit("disk_fine", free=free, folder=self.disk)
            self.dispatcher.go_on(DISK)

    def _round(self) -> None:
        with suppress(*TROUBLE, OSError):
            for step in (self._reconcile, self.recover, self._fail_unknown, self.fail_odd):
                if step == self._reconcile or not self.passed_on:
                    step()

    def _tell_silence(self) -> None:
        """A database that does not even refuse (frozen, or behind a dead network) raises no error."""
        seconds = self.committer.silence()
        if seconds > SILENCE:
            events.emit("journal_unavailable", error=f"it has not answered for {seconds:.0f} s")
        elif self._silent:
            events.emit("journal_back")
        self._silent = seconds > SILENCE

    def _reconcile(self) -> None:
        lost = self.committer.reconcile()
        if lost:
            events.emit("warning", text=f"{len(lost)} claimed task(s) that nobody ran are queued again")

    def _fail_unknown(self) -> None:
        now = time.time()
        for name, why in list(self.dispatcher.unknown.items()):
            verb = functools.partial(
                upkeep.fail_unknown,
                now=now,
                before=now - UNKNOWN_GRACE,
                unknown=[name],
                reason=f"no node knows this task function: {why}",
            )
            for task_id, function in self.committer.call(verb):
                events.emit("task_failed_unknown", id=task_id, function=function)

    def _prune(self) -> None:
        """Deletes what succeeded longer than ZTASKD_KEEP ago, a few rows at a time."""
        pruned, batch = 0, PRUNE_BATCH
        try:
            while batch == PRUNE_BATCH and not self.passed_on:
                began = time.monotonic()
                batch = self.committer.call(self._old_rows())
                pruned += batch
                gevent.sleep((time.monotonic() - began) * PRUNE_REST)
        except TROUBLE as error:
            events.emit("rows_kept", error=error)
        if pruned:
            events.emit("rows_pruned", count=pruned)

    def _old_rows(self) -> Any:
        assert conf.keep is not None
        return functools.partial(upkeep.prune, before=time.time() - conf.keep, limit=PRUNE_BATCH)
