"""What SIGUSR1 puts into the log: every slot and child with its task, its age and its stack, and who has blocked the
daemon so far. Read by the watchdog's thread, while everything else may stand still.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from gevent import monkey

from django_ztask.rows import Claimed
from ztaskd import stacks
from ztaskd.awaiting import Call
from ztaskd.blockings import Totals
from ztaskd.facts import Facts, of_task
from ztaskd.slots import Slots
from ztaskd.stacks import Place, Reader
from ztaskd.workers.pool import Workers
from ztaskd.workers.worker import Worker

sleep = monkey.get_original("time", "sleep")

# Seconds that a child has to write down its stack, and between two looks whether it has.
ANSWER, LOOK = 1.0, 0.01


class Report:
    """`children`: places of tasks, and the processes that they run in."""

    def __init__(
        self, slots: Slots, children: Sequence[tuple[Slots, Workers]], reader: Reader, totals: Totals
    ) -> None:
        self.slots = slots
        self.children = children
        self.reader = reader
        self.totals = totals

    def write(self, write: Callable[..., None], current: Any, stack: list[Place], hub: str) -> None:
        """Entry by entry, with the facts about it. `current`: the greenlet that runs, if it is a slot's, with the stack of its thread; `hub`:
        what there is to say of the hub."""
        here, pools = list(self.slots.running.items()), [workers for _, workers in self.children]
        busy = {task_id: worker for workers in pools for task_id, worker in workers.busy().items()}
        idle = [worker for workers in pools for worker in workers.idle()]
        write(
            f"SIGUSR1: {len(here)} of {self.slots.size} slots run a task, {len(busy)} of {len(busy) + len(idle)} "
            f"child processes; {hub}"
        )
        for greenlet, task in here:
            running = greenlet is current
            found = stack if running else _waiting(greenlet)
            what = f"a slot: {_describe(task, self.slots.began.get(greenlet))}{', running now' if running else ''}"
            write(what + self._indented(found), of_task(task))
        for places, _ in self.children:
            for greenlet, task in list(places.running.items()):
                if task.id not in busy:
                    write(
                        f"no child process yet: {_describe(task, places.began.get(greenlet))}", of_task(task)
                    )
        for entry, known in self._busy(busy):
            write(entry, known)
        for worker in idle:
            write(f"{_name(worker)}: idle after {worker.tasks} task(s)")
        for line in self.totals.lines():
            write(line)
        write("SIGUSR1: that is all")

    def _busy(self, busy: dict[str, Worker]) -> Iterator[tuple[str, Facts]]:
        waiting = {worker: task_id for task_id, worker in busy.items()}
        for worker in list(waiting):
            if worker.is_alive():
                worker.ask_stack()
            else:
                text = f"{_name(worker)}: it is gone; its task {waiting[worker]} is being ended"
                yield text, {"task_id": waiting.pop(worker)}
        deadline = time.monotonic() + ANSWER
        before: dict[Worker, str] = {}
        while waiting:
            sleep(LOOK)
            for worker in list(waiting):
                text = worker.read_stack()
                late = time.monotonic() > deadline
                if late or (text and text == before.get(worker)):  # (it is written piece by piece)
                    yield self._child(worker, waiting.pop(worker), text), of_task(worker.current[0])
                before[worker] = text

    def _child(self, worker: Worker, task_id: str, text: str) -> str:
        task, began = worker.current
        what = _describe(task, began) if task else f"task {task_id}"
        if not text:
            return (
                f"{_name(worker)}: {what}\n    it has not told its stack within {ANSWER:g} s: is it stopped?"
            )
        return f"{_name(worker)}: {what}{self._indented(stacks.from_dump(text))}"

    def _indented(self, stack: list[Place]) -> str:
        lines = self.reader.lines(stack) or ["(between two steps)"]
        return "".join(f"\n    {line}" for line in lines)


def _waiting(greenlet: Any) -> list[Place]:
    """Where a slot waits; one that waits for its coroutine shows where that is."""
    found = stacks.of_greenlet(greenlet)
    for frame in found:
        if frame.f_code is Call.wait.__code__:
            found = stacks.of_coroutine(frame.f_locals["self"].coroutine)
    return stacks.places(found)


def _describe(task: Claimed, began: float | None) -> str:
    age = f", for {time.monotonic() - began:.1f} s" if began is not None else ""
    return f"task {task.id} {task.function_name} (attempt {task.attempt}){age}"


def _name(worker: Worker) -> str:
    return f"{worker.name} (pid {worker.pid})"
