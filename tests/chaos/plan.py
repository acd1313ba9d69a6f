"""What a seed means: the calls of every client thread, and the faults. Pure; the same seed, the same plan."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

# Task functions of tests/chaos/tasks.py, with the retries each is allowed.
RETRIES = {"quick": 2, "flaky": 2, "doomed": 1}

# Faults besides kill -9 of the daemon, with their weights; those of one database only stand apart.
EVERYWHERE = {"stop": 3, "term": 3, "client": 4, "cut": 2, "blackhole": 2, "late": 1, "clock": 2}
ONLY = {"sqlite": {"lock": 5}, "postgresql": {"fast": 2, "immediate": 2, "terminate": 3}}

# Seconds that a fault lasts: the least and the most. (What is not here is over at once.)
LASTS = {
    "stop": (0.2, 2.0),
    "lock": (0.2, 1.5),
    "blackhole": (0.3, 2.5),
    "late": (0.3, 1.0),
    "clock": (0.3, 2.0),
    "child-stop": (0.2, 2.0),
}

# The share of the tasks that run in child processes; that of those which work for a while there, and how long (ms):
# so that a fault finds one at work.
IN_CHILDREN = 0.08
LONGER, MILLISECONDS = 0.5, (20, 60)

# What happens to a child, with its weight: signals, and SIGSTOP, after which it goes on or is killed.
CHILD_FAULTS = {"child-kill": 3, "child-segv": 2, "child-term": 2, "child-stop": 3}

# The share of the run (in tasks started) in which faults happen.
FIRST, LAST = 0.03, 0.85


@dataclass(frozen=True, slots=True)
class Item:
    """One task: its token, its task function, how long it works (milliseconds), and whether in a child."""

    token: str
    function: str
    ms: int
    in_child: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """What a client does at once. kind: call, after, atomic or map."""

    kind: str
    items: tuple[Item, ...]
    after: float = 0.0
    rollback: bool = False


@dataclass(frozen=True, slots=True)
class Fault:
    """at: the share of the tasks that have started by then. which: a client, a child, or what of two things.
    hurry: a kill that does not wait until the daemon has come up from the fault before."""

    at: float
    kind: str
    seconds: float = 0.0
    which: int = 0
    hurry: bool = False


def operations(
    seed: str, client: int, thread: int, count: int, children: bool = False
) -> Iterator[Operation]:
    """The operations of one thread: `count` tasks in all; the same with and without children."""
    dice = random.Random(f"{seed}/calls/{client}/{thread}")
    other_dice = random.Random(f"{seed}/children/{client}/{thread}")
    done = 0
    while done < count:
        kind = dice.choices(["call", "after", "atomic", "map"], [50, 5, 30, 10])[0]
        size = {"atomic": dice.randint(1, 20), "map": dice.randint(20, 200)}.get(kind, 1)
        size = min(size, count - done)
        tokens = [f"{client}-{thread}-{n}" for n in range(done, done + size)]
        shared = _function(dice)  # map() calls one task function
        items = tuple(
            Item(token, shared if kind == "map" else _function(dice), _milliseconds(dice)) for token in tokens
        )
        if children:
            items = _some_in_children(other_dice, items, kind == "map")
        after = round(dice.uniform(0.2, 2.0), 3)
        rollback = dice.random() < 0.1
        yield Operation(kind, items, after if kind == "after" else 0.0, rollback and kind == "atomic")
        done += size


def _some_in_children(dice: random.Random, items: tuple[Item, ...], together: bool) -> tuple[Item, ...]:
    """`together`: all of them or none."""
    found, all_in = [], dice.random() < IN_CHILDREN
    for item in items:
        if all_in if together else dice.random() < IN_CHILDREN:
            ms = dice.randint(*MILLISECONDS) if dice.random() < LONGER else item.ms
            item = replace(item, ms=ms, in_child=True)
        found.append(item)
    return tuple(found)


def _function(dice: random.Random) -> str:
    return dice.choices(["quick", "flaky", "doomed"], [975, 20, 5])[0]


def _milliseconds(dice: random.Random) -> int:
    kind = dice.random()
    if kind < 0.6:
        return 0
    return dice.randint(1, 3) if kind < 0.96 else dice.randint(20, 100)


def share(total: int, parts: int, part: int) -> int:
    """How much of `total` falls to this one of `parts`."""
    return total * (part + 1) // parts - total * part // parts


def kinds(database: str) -> dict[str, int]:
    """The faults besides kill -9 of the daemon, with their weights."""
    return {**EVERYWHERE, **ONLY[database]}


def faults(
    seed: str, database: str, kills: int, others: int, clients: int, only: str | None = None
) -> list[Fault]:
    """`kills` kill -9 of the daemon, evenly spread, and `others` (of one kind, with `only`); a quarter of the
    moments stays quiet."""
    dice = random.Random(f"{seed}/faults")
    moments = math.ceil((kills + others) * 4 / 3)
    killing = {
        dice.randrange(moments * kill // kills, moments * (kill + 1) // kills) for kill in range(kills)
    }
    free = [moment for moment in range(moments) if moment not in killing]
    others_at = set(dice.sample(free, others))
    weights = {only: 1} if only else kinds(database)
    plan: list[Fault] = []
    for moment in sorted(killing | others_at):
        at = FIRST + (LAST - FIRST) * (moment + dice.random()) / moments
        kind = "kill" if moment in killing else dice.choices(list(weights), list(weights.values()))[0]
        seconds = round(dice.uniform(*LASTS.get(kind, (0.0, 0.0))), 3)
        hurry = kind == "kill" and bool(plan) and dice.random() < 0.15
        if hurry:
            at, seconds = plan[-1].at, round(dice.uniform(0.0, 0.5), 3)
        plan.append(Fault(at, kind, seconds, dice.randrange(2 * clients), hurry))
    return plan


def child_faults(seed: str, number: int) -> list[Fault]:
    """So many, evenly spread."""
    dice = random.Random(f"{seed}/child-faults")
    plan = []
    for part in range(number):
        at = FIRST + (LAST - FIRST) * (part + dice.random()) / number
        (kind,) = dice.choices(list(CHILD_FAULTS), list(CHILD_FAULTS.values()))
        seconds = round(dice.uniform(*LASTS.get(kind, (0.0, 0.0))), 3)
        plan.append(Fault(at, kind, seconds, dice.randrange(1000)))
    return plan
