"""What the node keeps of how far its tasks are: the latest of each that runs, handed on twice a second at most; and the
board of those in children.
"""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from django_ztask import progress
from django_ztask.progress import Progress
from django_ztask.rows import Claimed
from tests.integration.helpers import claim_new
from ztaskd.inbox import Inbox
from ztaskd.progress import Reports
from ztaskd.workers import board


def said(done: int, text: str = "") -> Progress:
    return Progress(done, 10, text, 1.5)


class Attempts:
    last_words: Any = None


class Node:
    """What runs is what a test says, and what is handed over it keeps."""

    def __init__(self) -> None:
        self.attempts = Attempts()
        self.tasks: list[Claimed] = []
        self.handed: list[dict[str, int]] = []
        self.takes = True
        self.reports = Reports(self, self._take, [])  # type: ignore[arg-type]

    def running(self) -> list[Claimed]:
        return self.tasks

    def _take(self, new: Mapping[str, Progress]) -> bool:
        if self.takes:
            self.handed.append({task_id: int(last.done) for task_id, last in new.items()})
        return self.takes


@pytest.fixture
def here() -> Iterator[Node]:
    yield Node()
    progress.deliver_to(None)


def tell(task: Claimed, done: int, attempt: int = 1) -> None:
    progress.report(task.id, attempt, done, 10, "")


def test_of_what_a_task_says_between_two_writes_the_last_is_written(here: Node) -> None:
    first, second = here.tasks = [claim_new(), claim_new()]
    for n in range(1000):
        tell(first, n)
    tell(second, 5)
    here.reports.flush()
    here.reports.flush()
    tell(second, 6)
    here.reports.flush()
    assert here.handed == [{first.id: 999, second.id: 5}, {second.id: 6}]
    assert {task_id: last.done for task_id, last in here.reports.latest.items()} == {
        first.id: 999,
        second.id: 6,
    }


def test_what_the_journals_thread_cannot_take_yet_is_handed_over_later(here: Node) -> None:
    [task] = here.tasks = [claim_new()]
    here.takes = False
    tell(task, 1)
    here.reports.flush()
    tell(task, 2)
    here.takes = True
    here.reports.flush()
    assert here.handed == [{task.id: 2}]


def test_only_the_attempt_that_runs_is_heard(here: Node) -> None:
    task, over = claim_new(), claim_new()
    here.tasks = [task]
    tell(task, 9, attempt=2)
    tell(over, 9)
    assert here.reports.latest == {}
    tell(task, 3)
    tell(task, 9, attempt=0)
    [last] = here.reports.latest.values()
    assert last.done == 3
    assert here.attempts.last_words(task) == last
    assert here.attempts.last_words(task) is None
    assert here.reports.latest == {}


def test_what_a_thread_says_after_the_end_is_forgotten(here: Node) -> None:
    [task] = here.tasks = [claim_new()]
    here.attempts.last_words(task)
    tell(task, 9)  # (its slot is not free yet)
    here.tasks = []
    here.reports.flush()
    assert (here.reports.latest, here.handed) == ({}, [])


def test_the_thread_takes_one_at_a_time() -> None:
    inbox = Inbox(lambda wake: None)
    assert inbox.say({"a": said(1)})
    assert not inbox.say({"a": said(2)})
    batch = inbox.gather(0)
    assert batch is not None
    assert batch.said == {"a": said(1)}
    assert inbox.gather(0) is None
    assert inbox.say({"a": said(3)})


def test_the_board_reads_what_was_written_last_or_nothing() -> None:
    ours = board.Board()
    with ours.handed() as fd:
        theirs = board.Writer(os.dup(fd))
    assert ours.read() is None
    for n in range(3):
        theirs.write("id-1", 1, said(n, "ü" * 200))
    found = ours.read()
    assert found is not None
    assert (found.task, found.attempt, found.progress) == ("id-1", 1, said(2, "ü" * 200))
    theirs.write("x" * 5000, 1, said(5))
    assert ours.read() == found, "an id that nobody has"
    dice = random.Random(1)
    for _ in range(2000):
        theirs._memory[dice.randrange(500)] = dice.randrange(256)
        assert ours.read() in (None, found)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_in_the_moment_in_which_a_thread_writes_can_write() -> None:
    ours = board.Board()
    with ours.handed() as fd:
        theirs = board.Writer(os.dup(fd))
    writing, over = threading.Event(), threading.Event()

    def write() -> None:
        with theirs._lock:
            writing.set()
            over.wait(30)

    thread = threading.Thread(target=write)
    thread.start()
    assert writing.wait(30)
    if not (pid := os.fork()):
        signal.alarm(20)
        theirs.write("id-1", 1, said(7))
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    over.set()
    thread.join()
    found = ours.read()
    assert found is not None
    assert found.progress == said(7)
