"""One blocking of the hub, as it was sampled, and the totals for each task function."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import msgspec


@dataclass(frozen=True)
class Culprit:
    """Whose code was found running: a task's, or the daemon's own (or a library's greenlet): no id."""

    id: str = ""
    function: str = "ztaskd"

    def __str__(self) -> str:
        return (
            f"task {self.id} {self.function}" if self.id else "the daemon itself (or a greenlet of a library)"
        )

    @property
    def facts(self) -> dict[str, str]:
        """What a line about it says in JSON."""
        who = {"task_id": self.id, "function": self.function} if self.id else {}
        return {"event": "blocked", **who}


OWN = Culprit()


@dataclass
class Blocking:
    """From `began` on (time.monotonic()) the hub has not turned."""

    began: float
    samples: Counter[tuple[Culprit, str]] = field(default_factory=Counter)
    said: float = 0.0  # seconds: how long it had lasted when it was last told
    culprit: Culprit | None = None  # of the last look
    asked: float | None = None  # when the culprit was asked to end
    helpless: bool = False  # told that asking did not help
    doomed: bool = False  # the next look ends the process

    def add(self, culprit: Culprit, place: str) -> None:
        self.samples[culprit, place] += 1

    def shares(self) -> dict[Culprit, float]:
        """The part that each has in it, the largest first."""
        counts: Counter[Culprit] = Counter()
        for (culprit, _), count in self.samples.items():
            counts[culprit] += count
        return {culprit: count / counts.total() for culprit, count in counts.most_common()}

    def place(self, culprit: Culprit) -> str:
        """Where it was found most often; of places that are equal, the last."""
        found = [(count, place) for (who, place), count in self.samples.items() if who == culprit]
        most = max(count for count, _ in found)
        return [place for count, place in found if count == most][-1]

    def tell(self, seconds: float, over: bool) -> str:
        """The line about it."""
        shares = self.shares()
        culprit = next(iter(shares))
        place, advice = self.place(culprit), "; give it @task(pool='process')" if culprit.id else ""
        so_far = "" if over else " so far"
        if len(shares) == 1:
            return f"{culprit} has blocked the daemon for {seconds:.1f} s{so_far} at {place}{advice}"
        return (
            f"{len(shares)} tasks in turn have blocked the daemon for {seconds:.1f} s{so_far}, most of it "
            f"{culprit} at {place}{advice}"
        )


class Total(msgspec.Struct):
    """What one task function has blocked the hub since the start. Seconds."""

    times: int = 0
    seconds: float = 0.0
    longest: float = 0.0


class Totals:
    """By the name of the task function; `ztaskd` is the daemon itself. The watchdog's thread writes, all may read."""

    def __init__(self) -> None:
        self.functions: dict[str, Total] = {}

    def add(self, blocking: Blocking, seconds: float) -> None:
        shares: Counter[str] = Counter()
        for culprit, share in blocking.shares().items():
            shares[culprit.function] += share  # type: ignore[assignment]
        for function, share in shares.items():
            total = self.functions.setdefault(function, Total())
            total.times += 1
            total.seconds += share * seconds
            total.longest = max(total.longest, share * seconds)

    def lines(self) -> list[str]:
        """For people: the worst first."""
        found = sorted(self.functions.items(), key=lambda item: -item[1].seconds)
        return [
            f"{function} has blocked the daemon {total.times} time(s), for {total.seconds:.1f} s in all, "
            f"{total.longest:.1f} s at most"
            for function, total in found
        ]
