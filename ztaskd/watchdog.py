"""The watchdog: a native thread that notices when the hub does not turn. It names the task, ends one that is past its
limit, and the process when nothing else helps. SIGUSR1 makes it report what runs.

It looks at the hub from outside: the hub itself does nothing for it. It takes no lock that a task may hold, so
nothing goes through logging, and uses nothing that gevent has patched.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import time
import traceback
from collections.abc import Sequence
from functools import partial
from types import FrameType
from typing import Any

import gevent
from gevent import monkey
from gevent.hub import Hub

from django_ztask import execute
from django_ztask.conf import conf
from ztaskd import limits, stacks
from ztaskd.bell import Bell
from ztaskd.blockings import OWN, Blocking, Culprit, Totals
from ztaskd.cli import Exit
from ztaskd.culprits import coroutine_of, running
from ztaskd.limits import Limit
from ztaskd.output import standard
from ztaskd.quiet import Kinds, more
from ztaskd.report import Report
from ztaskd.slots import Slots
from ztaskd.straight import Straight
from ztaskd.workers.pool import Workers

thread_id = monkey.get_original("_thread", "get_ident")
allocate_lock = monkey.get_original("_thread", "allocate_lock")
start_new_thread = monkey.get_original("_thread", "start_new_thread")
sleep = monkey.get_original("time", "sleep")

# Looks within the time after which the hub counts as blocked (one of them while it has nothing to do), and the shortest
# pause between two, in seconds.
LOOKS, SHORTEST = 4, 0.005

# Seconds after which a blocking that lasts is told; and again whenever it has become twice as long.
LASTING = 1.0

# Seconds in which a signal must have ended a task; otherwise it is in a C call, or goes on all the same.
HELPS = 1.0

# Seconds after which the interpreter counts as stuck in C code that lets no other thread run, and between two times
# at which the C thread that notices it is put off.
STUCK, PUT_OFF = 10.0, 2.0

PAUSE = 10.0  # seconds of rest after a fault of ours

ADVICE = "give it @task(pool='process'), where hard_timeout ends everything"


class Watchdog:
    """`totals`: what each task function has blocked the daemon. `children`: places of tasks, and in which processes."""

    def __init__(self, slots: Slots, children: Sequence[tuple[Slots, Workers]]) -> None:
        self.totals = Totals()
        self._places = (slots, *(places for places, _ in children))
        self._after, self._exit_after = conf.hub_blocked_after, conf.exit_when_blocked
        self._reader = stacks.Reader(execute.__file__, "inside")
        self._report = Report(slots, children, self._reader, self.totals)
        self._hub_thread, self._loop = thread_id(), gevent.get_hub().loop
        self._pause = self._after and max(self._after / LOOKS, SHORTEST)
        self._came_back = 0.0  # libev from waiting, as far as was known at the last look
        self._idle = False  # at the last look, the hub waited for something to do
        self._turn = -1  # of the hub at the last look; when it began, or later; when that look was
        self._turned = self._looked = time.monotonic()
        self._blocking: Blocking | None = None
        self._put_off, self._quiet = 0.0, Kinds()
        self._looking = allocate_lock()

    def start(self) -> None:
        """On the hub's thread, before the first task."""
        self._bell, self._straight = Bell(), Straight()
        limits.listen()
        self._bell.hang()
        start_new_thread(self._serve, ())

    def close(self) -> None:
        """The hub will not turn again: that is no reason to end the process. (SIGUSR1 is still answered.)"""
        with self._looking:
            self._after = self._pause = 0
            faulthandler.cancel_dump_traceback_later()

    def _serve(self) -> None:
        # The main thread's: it blocks some before it becomes another program; its C handler rings the bell in C code.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while True:
            try:
                rung = self._bell.wait((self._after if self._idle else self._pause) or None)
                with self._looking:
                    if self._after:
                        self._look(time.monotonic())
                if rung:
                    self._write_report()
            except Exception:
                self._straight.write(logging.ERROR, f"the watchdog failed:\n{traceback.format_exc()}")
                sleep(PAUSE)

    # -- looking --------------------------------------------------------------------------------------

    def _look(self, now: float) -> None:
        if now > self._put_off:
            self._put_off = now + PUT_OFF
            self._notice_stuck_interpreter()
        turn, came_back = self._loop.iteration, self._loop.now()
        same = turn == self._turn
        if same and self._idle and came_back == self._came_back:  # it waits as it did then
            self._turned = self._looked = now
            return
        since = self._since(now, self._turned if same else self._looked)
        lasts = same and self._blocking is not None
        found = stacks.of_thread(self._hub_thread) if lasts or now - since >= self._pause else []
        waits = bool(found) and found[0].f_code is Hub.run.__code__
        if waits or not same:
            self._over(since)
        if found and not waits:
            self._stands(since, now, found)
        self._idle = waits
        self._turn, self._turned, self._came_back = turn, now if waits else since, came_back
        self._looked = now

    def _since(self, now: float, at_least: float) -> float:
        """When libev came back from waiting, the last time."""
        return min(max(now - (time.time() - self._loop.now()), at_least), now)

    def _stands(self, since: float, now: float, found: list[FrameType]) -> None:
        """The hub has not turned for a while."""
        blocking = self._blocking = self._blocking or Blocking(since)
        greenlet = running(found)
        culprit = self._culprit(greenlet) or coroutine_of(found) or OWN
        blocking.add(culprit, self._reader.place(stacks.places(found)))
        seconds = now - blocking.began
        if seconds < self._after:
            return
        if blocking.samples.total() > 1 and seconds >= max(LASTING, 2 * blocking.said):
            blocking.said = seconds
            self._straight.write(logging.WARNING, blocking.tell(seconds, over=False), culprit.facts)
        self._end(blocking, culprit, limits.of(culprit.id), now)

    def _culprit(self, greenlet: Any) -> Culprit | None:
        for places in self._places:
            task = places.running.get(greenlet)
            if task is not None:
                return Culprit(task.id, task.function_name)
        return None

    def _over(self, ended: float) -> None:
        """The hub has turned since the last look, or waits."""
        blocking, self._blocking = self._blocking, None
        seconds = 0.0 if blocking is None else ended - blocking.began
        if blocking is not None and seconds >= self._after:
            self.totals.add(blocking, seconds)
            culprit = next(iter(blocking.shares()))
            if (left_out := self._quiet.left_out(culprit.function)) is not None:
                text = blocking.tell(seconds, over=True) + more(left_out)
                self._straight.write(logging.WARNING, text, culprit.facts)

    # -- ending what does not end by itself -----------------------------------------------------------

    def _end(self, blocking: Blocking, culprit: Culprit, limit: Limit | None, now: float) -> None:
        if blocking.culprit != culprit:
            blocking.culprit, blocking.asked, blocking.helpless = culprit, None, False
        if limit is None:
            self._exit_later(blocking, culprit, blocking.began, now)
            return
        if limit.is_due(now) and limit.heard:
            blocking.asked = blocking.asked or now
            limit.interrupt(self._hub_thread)
        if blocking.asked is not None and now > blocking.asked + HELPS:
            self._say_helpless(blocking, culprit, limit)
            self._exit_later(blocking, culprit, blocking.asked + HELPS, now)

    def _say_helpless(self, blocking: Blocking, culprit: Culprit, limit: Limit) -> None:
        if blocking.helpless:
            return
        blocking.helpless = True
        why = "goes on although TimeLimitExceeded was raised in it"
        if not limit.heard:
            why = "cannot be interrupted: it is in a C call"
        after = "set ZTASKD_EXIT_WHEN_BLOCKED to have the process end when this happens"
        if self._exit_after is not None:
            after = f"the process ends in {self._exit_after:g} s (ZTASKD_EXIT_WHEN_BLOCKED)"
        self._straight.write(
            logging.ERROR,
            f"{culprit} blocks the daemon beyond its timeout of {limit.seconds:g} s and {why} at "
            f"{blocking.place(culprit)}; {ADVICE}; {after}",
            culprit.facts,
        )

    def _exit_later(self, blocking: Blocking, culprit: Culprit, since: float, now: float) -> None:
        """When it is time. One look more: a process that was stopped (SIGSTOP) shall have the time to go on."""
        if self._exit_after is None or now < since + self._exit_after:
            return
        if not blocking.doomed:
            blocking.doomed = True
            return
        self._straight.write(
            logging.CRITICAL,
            f"{culprit} has blocked the daemon for {now - blocking.began:.1f} s at {blocking.place(culprit)}: the "
            "process ends (ZTASKD_EXIT_WHEN_BLOCKED); what it ran is recovered at the next start",
            culprit.facts,
        )
        os._exit(Exit.CRASH)

    def _notice_stuck_interpreter(self) -> None:
        """C code that keeps the interpreter's lock lets no Python thread run, not even this one: a thread in C
        writes down the stacks then, unless it is put off in time."""
        seconds = STUCK if self._exit_after is None else self._exit_after + PUT_OFF
        last = self._exit_after is not None
        faulthandler.dump_traceback_later(seconds, exit=last, file=standard.duplicate(2))

    # -- SIGUSR1 --------------------------------------------------------------------------------------

    def _write_report(self) -> None:
        found = stacks.of_thread(self._hub_thread)
        hub = "the hub turns" if self._after else "nobody watches the hub (ZTASKD_HUB_BLOCKED_AFTER)"
        if self._blocking is not None:
            hub = f"the hub has not turned for {time.monotonic() - self._blocking.began:.1f} s"
        write = partial(self._straight.write, logging.INFO, always=True)
        self._report.write(write, running(found), stacks.places(found), hub)
