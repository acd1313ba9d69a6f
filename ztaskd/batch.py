"""What the hub asks of the journal's thread, what it answers, and how requests gather into a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gevent.event import AsyncResult

from django_ztask.progress import Progress
from django_ztask.rows import Claimed, Finish

# Values of a row's column `pool` that one lane serves.
Pools = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Names:
    """Claim these rows, if they are due, for one of these pools, and nobody has them."""

    ids: Sequence[str]
    pools: Pools


@dataclass(frozen=True, slots=True)
class Look:
    """Claim up to so many due rows for each lane that wants some, and say when the next is due."""

    wants: Sequence[tuple[Pools, int]]
    unknown: frozenset[str]


@dataclass(frozen=True, slots=True)
class Call:
    """Run any verb in a transaction of its own; its value goes to `answer`."""

    verb: Callable[[Any], Any]
    answer: AsyncResult[Any]
    reads: bool = False  # it changes nothing: no transaction is needed, nor a lock


@dataclass(frozen=True, slots=True)
class Stop:
    """Write what is there, and end."""


Request = Names | Look | Call | Stop | Finish


@dataclass(slots=True)
class Answer:
    """What one transaction brought."""

    claimed: list[Claimed] = field(default_factory=list)
    named: int = 0
    missed: bool = False  # some of the names brought no row: they may be another lane's
    looked: bool = False
    aside: int = 0  # rows of paused queues that were put aside
    more: set[Pools] = field(default_factory=set)  # the lanes for which there may be more
    next_due: float | None = None
    fenced: list[Finish] = field(default_factory=list)


@dataclass(slots=True)
class Batch:
    """What goes into one transaction."""

    finishes: list[Finish] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    found: list[str] = field(default_factory=list)  # by a look that was refused as a whole
    pools: Pools = ()  # of the names, and of what was found
    look: Look | None = None
    calls: list[Call] = field(default_factory=list)
    stop: bool = False
    said: Mapping[str, Progress] | None = None  # by running tasks, by their ids
    characters: int = 0  # of results

    def add(self, request: Request) -> None:
        if isinstance(request, Finish):
            self.finishes.append(request)
            self.characters += len(request.outcome.result or "")
        elif isinstance(request, Names):
            self.names.extend(request.ids)
            self.pools = request.pools
        elif isinstance(request, Look):
            self.look = request
        elif isinstance(request, Call):
            self.calls.append(request)
        else:
            self.stop = True

    @property
    def size(self) -> int:
        """Rows it will change, as far as is known beforehand."""
        return len(self.finishes) + len(self.names) + len(self.found)

    def __bool__(self) -> bool:
        return bool(self.size or self.look or self.calls or self.stop or self.said)

    def parts(self) -> list[Batch]:
        """The same, one row at a time."""
        parts = [Batch(finishes=[finish]) for finish in self.finishes]
        parts += [Batch(names=[name], pools=self.pools) for name in self.names]
        parts += [Batch(found=[name], pools=self.pools) for name in self.found]
        if self.look is not None:
            parts.append(Batch(look=self.look))
        return parts
