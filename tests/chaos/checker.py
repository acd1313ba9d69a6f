"""The judge: ledgers, the journal's rows and the faults in, a Report out. Pure: no file, no clock, no database.

The words are those of Jepsen's total-queue: lost, unexpected, duplicated, recovered.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from tests.chaos.ledger import Calls, End, Start

# Rows of one commit: what a daemon may have claimed beyond its slots.
BATCH = 200

# Seconds before a crash of PostgreSQL whose outcomes it may forget: the promise says one; the rest is for the
# time between a task's end and its line.
FORGOTTEN = 1.5

# Seconds by which a start may be ahead of its due time: rounding.
ROUNDING = 0.001

FINAL = ("SUCCEEDED", "FAILED", "CANCELLED")


@dataclass(frozen=True, slots=True)
class Row:
    """What the journal says of a task. allowed: the retries it had at first. charged: the attempts that it
    has down as failures, interruptions or crashes."""

    id: str
    token: str
    status: str
    attempts: int
    failures: int
    interruptions: int
    crashes: int
    reason: str | None
    due: float
    allowed: int
    charged: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Happened:
    """A fault that was done, with its time on the monotonic clock. boot: the daemon of that moment."""

    kind: str
    boot: str
    began: float
    ended: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that the judge may know."""

    calls: Calls
    starts: Sequence[Start]
    ends: Sequence[End]
    rows: Sequence[Row]
    faults: Sequence[Happened]
    slots: int  # and children


@dataclass(slots=True)
class Report:
    """What became of the `tasks` that were called: executed, rolled_back, refused (the call raised) or cut_off
    (the caller was killed before it was told). violations: what makes the run invalid, by name, each with what
    it is about."""

    tasks: int = 0
    accepted: int = 0
    executed: int = 0
    recovered: int = 0
    rolled_back: int = 0
    refused: int = 0
    cut_off: int = 0
    duplicated: int = 0
    bound: int = 0
    per_kill: list[int] = field(default_factory=list)
    crashes: int = 0
    violations: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    @property
    def valid(self) -> bool:
        return not any(self.violations.values())

    def count(self, name: str) -> int:
        return len(self.violations.get(name, ()))


def judge(evidence: Evidence) -> Report:
    calls = evidence.calls
    starts = _by_token(evidence.starts)
    ends = _by_token(evidence.ends)
    rows: dict[str, list[Row]] = defaultdict(list)
    for row in evidence.rows:
        rows[row.token].append(row)
    unheard = calls.invoked - calls.told.keys() - starts.keys()
    report = Report(
        tasks=len(calls.invoked),
        accepted=len(calls.told),
        executed=len(starts),
        recovered=len(starts.keys() & calls.invoked - calls.told.keys()),
        rolled_back=len(unheard & calls.rolled_back),
        refused=len(unheard & calls.errors.keys()),
        cut_off=len(unheard - calls.rolled_back - calls.errors.keys()),
        crashes=sum(row.crashes for row in evidence.rows),
    )
    found: dict[str, Iterable[str]] = {
        "lost": _lost(calls, rows, ends),
        "unexpected": _unexpected(calls, rows, evidence),
        "stuck": (f"{row.token} is {row.status}" for row in evidence.rows if row.status not in FINAL),
        "vanished": (token for token in ends if token not in rows),
        "unfounded success": _unfounded(evidence.rows, ends),
        "doubled row": (token for token, found in rows.items() if len(found) > 1),
        "overcharged": _overcharged(evidence.rows),
        "unfounded crash": _unfounded_crashes(evidence),
        "failed too soon": _failed_too_soon(evidence.rows),
    }
    if not any(fault.kind == "clock" for fault in evidence.faults):
        found["early"] = _early(evidence.rows, starts)
    report.violations.update((name, items) for name, each in found.items() if (items := list(each)))
    _weigh_duplicates(report, evidence, starts, rows)
    return report


def _by_token(lines: Iterable[Start] | Iterable[End]) -> dict[str, list]:  # type: ignore[type-arg]
    found: dict[str, list] = defaultdict(list)  # type: ignore[type-arg]
    for line in lines:
        found[line.token].append(line)
    return found


def _lost(calls: Calls, rows: dict[str, list[Row]], ends: dict[str, list[End]]) -> Iterator[str]:
    """Accepted, and neither done nor FAILED with a reason."""
    for token in calls.told:
        failed = any(row.status == "FAILED" and row.reason for row in rows.get(token, ()))
        if token not in ends and not failed:
            status = [row.status for row in rows.get(token, ())] or "there is no row"
            yield f"{token} {calls.told[token]}: {status}"


def _unexpected(calls: Calls, rows: dict[str, list[Row]], evidence: Evidence) -> Iterator[str]:
    for start in evidence.starts:
        if start.token not in calls.invoked:
            yield f"{start.token} ran, and nobody called it"
        elif start.token in calls.rolled_back:
            yield f"{start.token} ran, and was rolled back"
        elif calls.told.get(start.token, start.id) != start.id:
            yield f"{start.token} ran as {start.id}, and its caller was told {calls.told[start.token]}"
    for token in rows.keys() - calls.invoked:
        yield f"{token} has a row, and nobody called it"
    for token in rows.keys() & calls.rolled_back:
        yield f"{token} has a row, and was rolled back"


def _unfounded(rows: Sequence[Row], ends: dict[str, list[End]]) -> Iterator[str]:
    """The journal says it succeeded, and no execution came to its end. (A task that came to its end and has
    no final row is stuck.)"""
    for row in rows:
        if row.status == "SUCCEEDED" and not any(end.id == row.id for end in ends.get(row.token, ())):
            yield row.token


def _overcharged(rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        if row.failures > row.allowed + 1:
            yield f"{row.token}: {row.failures} failures, {row.allowed} retries"


def _unfounded_crashes(evidence: Evidence) -> Iterator[str]:
    """More tasks have lost their child than children were killed: each runs one at a time."""
    crashed = [row for row in evidence.rows if row.crashes]
    crashes = sum(row.crashes for row in crashed)
    faults = sum(fault.kind.startswith("child-") for fault in evidence.faults)
    if crashes > faults:
        yield f"{crashes} crashes, {faults} faults of children: {', '.join(row.token for row in crashed)}"


def _failed_too_soon(rows: Sequence[Row]) -> Iterator[str]:
    """FAILED before its retries were used up, or without a reason."""
    for row in rows:
        if row.status == "FAILED" and (row.failures <= row.allowed or not row.reason):
            yield f"{row.token}: {row.failures} failures, {row.allowed} retries, reason {row.reason!r}"


def _early(rows: Sequence[Row], starts: dict[str, list[Start]]) -> Iterator[str]:
    """Started before its due time. A retry has moved that: then only the last start can be judged."""
    for row in rows:
        mine = starts.get(row.token, [])
        judged = mine if not row.failures else [max(mine, key=lambda start: start.moment)] if mine else []
        for start in judged:
            if start.wall < row.due - ROUNDING:
                yield f"{row.token} attempt {start.attempt}: {row.due - start.wall:.3f} s before it was due"


def _weigh_duplicates(
    report: Report, evidence: Evidence, starts: dict[str, list[Start]], rows: dict[str, list[Row]]
) -> None:
    """Counts starts that nothing recorded explains, lays each to the daemon whose start was repeated, and
    compares with what the faults excuse."""
    killed = {fault.boot for fault in evidence.faults if fault.kind == "kill"}
    repeated: Counter[str] = Counter()
    examples: dict[str, list[str]] = defaultdict(list)
    for token, mine in starts.items():
        for start in _repeated(mine, rows.get(token, []), killed):
            repeated[start.boot] += 1
            examples[start.boot].append(
                f"{token} ran {len(mine)} times; attempt {start.attempt} in {start.boot}"
            )
    one = evidence.slots + BATCH
    crashes = [fault.began for fault in evidence.faults if fault.kind == "immediate"]
    excused = sum(
        one + sum(moment - FORGOTTEN <= end.moment <= moment for end in evidence.ends) for moment in crashes
    )
    beyond = {boot: count - one * (boot in killed) for boot, count in repeated.items()}
    report.duplicated = repeated.total()
    report.bound = one * len(killed) + excused
    report.per_kill = [repeated[boot] for boot in sorted(killed)]
    if sum(max(0, count) for count in beyond.values()) > excused:
        report.violations["duplicated"] = [
            text for boot, count in beyond.items() if count > 0 for text in examples[boot]
        ]


def _repeated(mine: list[Start], rows: list[Row], killed: set[str]) -> list[Start]:
    """The starts of one task that were done again although the journal charged nothing for them: neither a
    failure, nor an interruption, nor a crash. When it cannot be told which, those in a killed daemon."""
    failed = any(row.status == "FAILED" for row in rows)
    extra = len(mine) - sum(row.failures + row.interruptions + row.crashes for row in rows) - (not failed)
    if extra <= 0:
        return []
    charged = {attempt for row in rows for attempt in row.charged}
    ordered = sorted(mine, key=lambda start: start.moment)
    again = ordered if failed else ordered[:-1]
    again.sort(key=lambda start: (start.attempt in charged, start.boot not in killed))
    return again[:extra]
