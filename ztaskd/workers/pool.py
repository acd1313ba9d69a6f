"""As many children as the node keeps: started when they are first needed, replaced when they die, recycled."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import gevent
from gevent.lock import Semaphore

from django_ztask.errors import TaskCancelled, TaskInterrupted
from django_ztask.lifecycle import Kind, Outcome
from django_ztask.rows import Claimed
from ztaskd import events
from ztaskd.again import program
from ztaskd.workers import frames
from ztaskd.workers.worker import Worker, WorkerDied, WorkerRefused

# Seconds before a child is started again that did not come up: its project is being mended.
PAUSE, PAUSE_MOST = 0.5, 30.0

# Seconds for which the daemon must have lived on after a child's death for that to be a crash of its task.
SURVIVED = 0.5

# Seconds that an interrupted task has for its own cleaning up. (Its node has a little more: INTERRUPTED in stopping.py.)
CLEANING_UP = 1.5


@dataclass(frozen=True)
class Limits:
    """After so many tasks, or with so much memory (bytes of RSS), a child is replaced by a fresh one."""

    tasks: int | None = None
    memory: int | None = None


# An attempt that is over: its outcome, when it started (epoch seconds), how long it took.
Ended = tuple[Outcome, float | None, float]


class Workers:
    """Children by the names `worker-1`, `worker-2`, ... `size`: how many tasks run at a time. `level` of the log."""

    prefix = "worker"

    def __init__(
        self, size: int, level: int, limits: Limits, start: Callable[[str, int], Worker] = Worker
    ) -> None:
        self.size = size
        self.level = level
        self.limits = limits
        self._start = start
        self._idle: list[Worker] = []
        self._ready = Semaphore(0)  # as many as are idle
        self.wanted = 0  # how many attempts wait for one
        self._busy: dict[str, Worker] = {}  # by the id of its task
        self._started: list[Worker] = []  # idle, busy, coming up, or not quite gone
        self._names = [f"{self.prefix}-{n}" for n in range(size, 0, -1)]
        self.leaving = False  # the node stops: so does whoever ends its processes by SIGTERM
        self.stopping = False

    def warm_up(self) -> None:
        """Starts all of them, beside whatever else goes on."""
        for _ in self._names:
            gevent.spawn(self._replace)

    def execute(self, task: Claimed, timeout: float | None, hard: float | None) -> Ended:
        """One attempt in a child. What is raised in the greenlet that waits (an interruption) ends the child, and
        comes out of here; an interruption before there is a child is an attempt that has not started."""
        try:
            worker = self._take()
        except TaskInterrupted:  # nothing of it has run: it is handed back, even if it is at_most_once
            return Outcome(Kind.NOT_STARTED), None, 0.0
        self._busy[task.id] = worker
        began, done = time.time(), None
        try:
            with gevent.Timeout(hard, False):  # type: ignore[arg-type]
                done = worker.run(task, timeout)
            if done is not None:
                return self._done(worker, done)
            self._end(worker)
            text = f"the hard time limit of {hard:g} s: its process was killed"
            return Outcome(Kind.FAILURE, exception=text, killed=True), began, time.time() - began
        except WorkerDied as death:
            return self._died(worker, death, began)
        except TaskInterrupted:
            return self._interrupted(worker, began)
        except TaskCancelled:
            return self._cancelled(worker, began)
        except BaseException:
            self._end(worker)
            raise
        finally:
            self._busy.pop(task.id, None)
            worker.pass_on_progress()

    def _done(self, worker: Worker, done: frames.Done) -> Ended:
        self._give_back(worker)
        return done.outcome, done.started, done.seconds

    def _died(self, worker: Worker, death: WorkerDied, began: float) -> Ended:
        """Who ends the daemon along with its children may reach the child first: that is not the task's doing."""
        seconds = time.time() - began
        events.emit("worker_died", name=worker.name, pid=worker.pid, reason=str(death))
        self._end(worker)  # (it may only have closed its socket)
        with suppress(TaskInterrupted, TaskCancelled):  # (its end is known)
            gevent.sleep(SURVIVED)
        kind = Kind.INTERRUPTED if self.leaving and death.code == -signal.SIGTERM else Kind.CRASH
        return Outcome(kind, exception=f"its process died while it ran: {death}"), began, seconds

    def _interrupted(self, worker: Worker, began: float) -> Ended:
        """The task may clean up, as in a slot; then its process goes."""
        worker.interrupt()
        outcome = Outcome(Kind.INTERRUPTED, exception="it went on after its interruption, and was killed")
        try:
            with gevent.Timeout(CLEANING_UP, False):  # type: ignore[arg-type]
                done = worker.wait_done()
                return done.outcome, done.started, done.seconds
        except WorkerDied:
            pass
        finally:
            self._end(worker)
        return outcome, began, time.time() - began

    def _cancelled(self, worker: Worker, began: float) -> Ended:
        """The same; a process whose task has ended in time goes on to the next."""
        worker.interrupt(frames.CANCEL)
        text, done = "it went on after it was cancelled: its process was killed", None
        outcome = Outcome(Kind.CANCELLED, exception=text)
        try:
            with gevent.Timeout(CLEANING_UP, False):  # type: ignore[arg-type]
                done = worker.wait_done()
            if done is not None:
                return self._done(worker, done)
        except WorkerDied as death:
            outcome = Outcome(Kind.CANCELLED, exception=f"its process died after it was cancelled: {death}")
        except BaseException:
            self._end(worker)
            raise
        self._end(worker)
        return outcome, began, time.time() - began

    def stop(self) -> None:
        """Ends those that are idle, kills the others. What is to live on as a program that knows none of them kills
        them all: there is no end of the parent that would end them."""
        self.stopping = True
        if program.starts_anew():
            for worker in self._started:
                worker.kill()
        for worker in self._idle:
            worker.stop()
        for worker in list(self._busy.values()):
            worker.kill()

    def tend(self) -> None:
        """Replaces those that have died while they were idle."""
        for worker in [worker for worker in self._idle if not worker.is_alive()]:
            if not self._ready.acquire(blocking=False):
                return  # (somebody is about to take one, and will see)
            self._idle.remove(worker)
            self._bury(worker)
            events.emit("worker_died", name=worker.name, pid=worker.pid, reason="it ended while it was idle")

    def alive(self) -> dict[str, int]:
        """The process id of each child by its name."""
        return {worker.name: worker.pid for worker in (*self._idle, *self._busy.values())}

    def busy(self) -> dict[str, Worker]:
        """By the id of its task."""
        return dict(self._busy)

    def idle(self) -> list[Worker]:
        return list(self._idle)

    # -- one child after the other ------------------------------------------------------------------

    def _take(self) -> Worker:
        """An idle child: the last that was busy, whose memory is warm. Waits while one comes up."""
        while True:
            if not self._idle and self._names:
                gevent.spawn(self._replace)
            self.wanted += 1
            try:
                self._ready.acquire()
            finally:
                self.wanted -= 1
            worker = self._idle.pop()
            if worker.is_alive():
                return worker
            self._bury(worker)

    def _come_up(self) -> Worker | None:
        """A new child, as soon as the project loads in one. None when the node stops meanwhile."""
        name, pause = self._names.pop(), PAUSE
        while not self.stopping:
            worker = None
            try:
                worker = self._start(name, self.level)
                self._started = [*filter(Worker.is_alive, self._started), worker]
                worker.wait_ready()
                return worker
            except (WorkerDied, WorkerRefused, OSError) as error:  # (no memory, no descriptors left)
                if not self.stopping:
                    events.emit("worker_refused", name=name, reason=str(error))
            if worker is not None:
                worker.kill()
            gevent.sleep(pause)
            pause = min(2 * pause, PAUSE_MOST)
        return None

    def _give_back(self, worker: Worker) -> None:
        full = self.limits.tasks is not None and worker.tasks >= self.limits.tasks
        fat = self.limits.memory is not None and worker.memory > self.limits.memory
        if full or fat:
            mib = worker.memory // 2**20
            events.emit("worker_recycled", name=worker.name, pid=worker.pid, tasks=worker.tasks, mib=mib)
        if full or fat or self.stopping:
            worker.stop()
            self._bury(worker)
        else:
            self._idle.append(worker)
            self._ready.release()

    def _end(self, worker: Worker) -> None:
        worker.kill()
        self._bury(worker)

    def _bury(self, worker: Worker) -> None:
        """Its name is free for the next one, which comes up beside what goes on."""
        self._names.append(worker.name)
        gevent.spawn(_see_off, worker)
        self._replace_later()

    def _replace_later(self) -> None:
        gevent.spawn(self._replace)

    def _replace(self) -> None:
        if self._names and not self.stopping and (worker := self._come_up()) is not None:
            self._give_back(worker)


def _see_off(worker: Worker) -> None:
    """(A thread that a task has left behind keeps the interpreter from ending.)"""
    if worker.bury() is None:
        worker.kill()
