"""A replay as it goes on: batches, a pace or one task at a time, its signs of life, and what it says."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections import Counter
from typing import Any

from django_ztask import crashpoints, looking, operations, replays, transport
from django_ztask.conf import conf
from django_ztask.lifecycle import Status
from ztaskd.cli import Exit
from ztaskd.commands import selection
from ztaskd.commands.pacing import BATCH, REST, Pace, Regularly, wait_for_end
from ztaskd.commands.printing import age, clean, local, number
from ztaskd.commands.progress import Progress
from ztaskd.project import Refusal

# Seconds that a task waits before it is asked whether there is a node at all; and between two such questions.
PATIENCE = 2.0

# Longest sleep without a look at the clock (seconds).
NAP = 0.5


def begin(connection: Any, options: argparse.Namespace, wanted: Any) -> Any:
    """A new replay, or one to go on with. None: no task matches, and that was said."""
    words = selection.words(options)
    if options.serial:
        _refuse_overlap(replays.unfinished(connection))
    if stopped := _stopped(connection, words, options.anew, options.serial):
        _refuse_others(connection, stopped)
        return stopped
    matched = operations.count(connection, operations.replayable(connection, wanted))
    if not matched:
        print("no failed task matches: nothing to replay")
        return None
    matched = min(matched, options.limit or matched)
    replay = replays.begin(connection, wanted, words, options.limit, matched, options.serial)
    try:
        _refuse_others(connection, replay)
    except Refusal:
        replays.finish(connection, replay)
        raise
    return replay


def _refuse_others(connection: Any, replay: Any) -> None:
    """Once it can be seen itself: of two at once, one refuses, or both do. (Ids do not tell who was seen first.)"""
    if replay.serial:
        _refuse_overlap(other for other in replays.unfinished(connection) if other.id != replay.id)


def _refuse_overlap(others: Any) -> None:
    for other in others:
        if other.serial and not other.is_dead:
            who = f"replay {other.id} ({clean(other.by)}, pid {other.pid})"
            text = f"{who} runs its tasks one at a time (--serial): those of a second one would overlap. Wait for it"
            raise Refusal(Exit.CRASH, text)


def _stopped(connection: Any, words: str, anew: bool, serial: bool) -> Any:
    """One of the same words that was stopped: gone on with, or closed (`anew`). One that runs its tasks one at a time is
    gone on with in this way alone, and no other one is: those that it has queued already may run at once."""
    for replay in replays.unfinished(connection):
        if replay.words != words or not replay.is_dead or (replay.serial != serial and not anew):
            continue
        if not replays.take_over(connection, replay):
            continue  # somebody else goes on with it
        if anew:
            replays.finish(connection, replay)
            continue
        begun = f"begun {local(replay.started)}, stopped after {replay.queued:,} of {replay.matched:,}"
        print(f"going on with replay {replay.id}, {begun} (--anew: begin a new one)", flush=True)
        return replay
    return None


class Replaying:
    """Runs one replay to its end, in this process."""

    def __init__(self, connection: Any, replay: Any, options: argparse.Namespace) -> None:
        self.connection = connection
        self.replay = replay
        self.options = options
        self.resumed = bool(replay.position.uuid)
        self.ends: Counter[str] = Counter()
        self.progress = Progress(
            replay.matched, "done" if options.serial else "queued again", self.replay.queued
        )
        self._alive = Regularly(replays.SIGN, lambda: replays.give_sign(connection, replay))
        self._nodeless = Regularly(PATIENCE, self._look_for_nodes)
        self._hint = ""

    def run(self) -> None:
        """Raises KeyboardInterrupt and what the database raises, after it has said how to go on; Refusal when another
        process goes on with it."""
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        began = time.monotonic()
        try:
            self._drive()
            replays.finish(self.connection, self.replay)
        except replays.TakenOver:
            self.progress.end()
            raise Refusal(Exit.CRASH, self._who_has_it()) from None
        except BaseException:
            self.progress.end()
            self._tell_stopped()
            raise
        self.progress.end()
        self._tell_end(time.monotonic() - began)

    # -- queueing -----------------------------------------------------------------------------------

    def _drive(self) -> None:
        serial = self.options.serial
        pace = Pace(self.options.rate, 1 if serial else BATCH)
        if serial and self.resumed:
            self._wait(self.replay.position.uuid)  # it may still run from before
        while self.replay.left != 0:
            self._sleep(pace)
            count = min(pace.number(), self.replay.left or BATCH)
            began = time.monotonic()
            ids = replays.step(self.connection, self.replay, count, conf.retry_count)
            if ids is None:
                return
            crashpoints.reach("replay-committed", ids)
            if ids:
                transport.send([], None)  # (look: by their names, later ones might start before earlier ones)
            if serial:
                for task_id in ids:
                    self._wait(task_id)
            else:
                self.progress.show(self.replay.queued)
                time.sleep((time.monotonic() - began) * REST)

    def _sleep(self, pace: Pace) -> None:
        while pause := pace.wait():
            self._alive()
            self.progress.show(self.replay.queued)
            time.sleep(min(pause, NAP))

    # -- one at a time ------------------------------------------------------------------------------

    def _wait(self, task_id: str) -> None:
        """Until that task has ended."""
        self._nodeless = Regularly(PATIENCE, self._look_for_nodes)
        self._hint = ""

        def tell(found: tuple[str, int, float], waited: float) -> None:
            self._alive()
            status, _, due = found
            if status == Status.QUEUED:
                self._nodeless()
            else:
                self._hint = ""
            later = f"again in {age(due - time.time())}" if due > time.time() + 0.5 else age(waited)
            note = f"{task_id[:18]} {status} {later}{self._hint}"
            self.progress.show(max(0, self.replay.queued - 1), note)

        end = wait_for_end(lambda: operations.status(self.connection, task_id), tell)
        self.ends[end or "gone"] += 1
        self.progress.show(self.replay.queued)

    def _look_for_nodes(self) -> None:
        hint = "" if looking.living_nodes(self.connection) else ", no daemon runs: it waits for one"
        if hint and not self._hint and not self.progress.terminal:
            self.progress.show(max(0, self.replay.queued - 1), hint.strip(", "), at_once=True)
        self._hint = hint

    # -- what it says -------------------------------------------------------------------------------

    def _tell_stopped(self) -> None:
        line = " ".join(filter(None, [self.options.program, "replay", self.replay.words, *self._how()]))
        left = max(0, self.replay.matched - self.replay.queued)
        text = f"{number(self.replay.queued, 'task')} queued again before this; {left:,} not reached, still FAILED. To go on:\n  {line}"
        print(text, file=sys.stderr, flush=True)

    def _who_has_it(self) -> str:
        own = self.replay.id
        others = [each for each in replays.unfinished(self.connection) if each.id == own]
        who = [f"{clean(each.by)} (pid {each.pid}) goes on with it" for each in others]
        said = " ".join(who) or "another process has gone on with it, and ended it"
        silence = f"this one had given no sign of life for {replays.SILENCE:g} s"
        return f"replay {own}: {said}, since {silence}; it was at {self.replay.queued:,} of {self.replay.matched:,}"

    def _how(self) -> list[str]:
        how = ["--serial"] if self.options.serial else []
        return [*how, f"--rate {self.options.rate:g}/s"] if self.options.rate else how

    def _tell_end(self, seconds: float) -> None:
        replay = self.replay
        text = f"replay {replay.id}: {number(replay.queued, 'task')} queued again, oldest call first, in {age(seconds)}"
        if self.ends:
            text += "; " + ", ".join(
                f"{count:,} {end}" for end, count in sorted(self.ends.items(), reverse=True)
            )
        print(text)
        if replay.queued and not self.options.serial and not looking.living_nodes(self.connection):
            print("no daemon runs: they start when one does")
        if self.resumed and replay.limit is None:
            again = operations.count(self.connection, operations.replayable(self.connection, replay.wanted))
            if again:
                print(
                    f"{number(again, 'matching task')} failed since it began: run it once more to replay them"
                )
