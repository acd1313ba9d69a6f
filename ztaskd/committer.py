"""The hub's side of the journal: requests go to its thread, answers come back. The hub never waits."""

from __future__ import annotations

import collections
import functools
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import gevent
from gevent.event import AsyncResult, Event
from gevent.threadpool import ThreadPool

from django_ztask.progress import Progress
from django_ztask.rows import Claimed, Finish
from ztaskd.aside import Seen
from ztaskd.batch import Answer, Call, Look, Names, Pools, Stop
from ztaskd.group_commit import GroupCommit
from ztaskd.inbox import BATCH, COMPANY, Inbox
from ztaskd.storage import Storage


class Committer:
    """Hub side: `claim`, `look`, `finish`, `call`. `answered` is called on the hub for each transaction."""

    def __init__(
        self,
        storage: Storage,
        boot: str,
        answered: Callable[[Answer], None],
        touch: Callable[[Any], bool],
    ) -> None:
        loop = gevent.get_hub().loop
        self._timer = loop.timer(COMPANY)
        self._inbox = Inbox(self._later)
        self._outbox: collections.deque[Callable[[], None]] = collections.deque()
        self._posted = Event()
        self._wake = loop.async_()
        self._wake.start(self._posted.set)
        self._pool = ThreadPool(1)
        self._thread: Any = None
        self._commits = GroupCommit(storage, boot, self._inbox, self._post, answered, touch)

    def start(self) -> None:
        self._thread = self._pool.spawn(self._commits.run)
        self._thread.rawlink(lambda _: self._posted.set())

    def claim(self, ids: Sequence[str], pools: Pools) -> None:
        self._inbox.put(Names(ids, pools))

    def look(self, wants: Sequence[tuple[Pools, int]], unknown: frozenset[str]) -> None:
        most = BATCH // len(wants)
        self._inbox.put(Look([(pools, min(number, most)) for pools, number in wants], unknown))

    def finish(self, finish: Finish) -> None:
        self._inbox.end(finish)

    def say(self, said: Mapping[str, Progress]) -> bool:
        """Writes down how far running tasks are, if it can. False: what was said before is still on its way."""
        return self._inbox.say(said)

    def call(self, verb: Callable[[Any], Any], timeout: float | None = None, reads: bool = False) -> Any:
        """`verb(connection)` in a transaction of its own, which one that only `reads` can do without. Raises what it
        raised."""
        answer: AsyncResult[Any] = AsyncResult()
        self._inbox.put(Call(verb, answer, reads))
        return answer.get(timeout=timeout)

    def reconcile(self) -> list[str]:
        """Gives back the rows that the journal shows as ours and nobody here holds."""
        return self.call(self._commits.reconcile)

    def look_at_pauses(self, known: Collection[int]) -> Seen:
        """What is paused; from then on the thread claims nothing of it. `known`: numbers of pauses seen before."""
        seen: Seen = self.call(functools.partial(self._commits.aside.look, known=known), reads=True)
        return seen

    def silence(self) -> float:
        """Seconds for which the database has owed an answer."""
        asked = self._commits.asked
        return 0.0 if asked is None else time.monotonic() - asked

    def degraded(self) -> bool:
        """True from an error of the database's on, until something could be written again."""
        return self._commits.failing

    def measure(self, committed: Callable[[int, float], None]) -> None:
        """From now on, `committed(rows, seconds)` is called for each transaction of claims and ends, in the thread."""
        self._commits.measure = committed

    def mark(self, task: Claimed) -> bool:
        """Writes down, synced, that an at_most_once task starts. False: it must not. Raises what the
        database raises: then it is not known, and it must not either."""
        return bool(self.call(functools.partial(self._commits.mark, task=task)))

    def stop(self, timeout: float) -> bool:
        """Writes what is left and ends the thread. False when it could not within `timeout` seconds: what
        was not written stays claimed, and is recovered at the next start."""
        if self._thread is None:
            return True
        self._inbox.put(Stop())
        self._thread.wait(timeout)
        self._commits.abandon = True
        return bool(self._thread.ready())

    def serve(self) -> None:
        """The hub's side of the thread: hands its answers on, one after another. A service greenlet."""
        while True:
            self._posted.wait()
            self._posted.clear()
            while self._outbox:
                self._outbox.popleft()()
            if self._thread is not None and self._thread.ready() and not self._outbox:
                self._thread.get()  # raises what ended the thread
                return

    def _later(self, callback: Callable[[], None]) -> None:
        """(A timer that has fired is not to be started again: libev has used up its time.)"""
        self._timer.close()
        self._timer = gevent.get_hub().loop.timer(COMPANY)
        self._timer.start(callback)

    def _post(self, callback: Callable[[], None]) -> None:
        """Called in the thread: `callback` is called on the hub."""
        self._outbox.append(callback)
        self._wake.send()
