"""The command line of scripts/chaos."""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.chaos import plan

DATABASES = ("sqlite", "postgresql")

# What a run does unless told otherwise, and what --full makes of it: tasks, kills, rounds.
SHORT = {"sqlite": (20_000, 10, 1), "postgresql": (5_000, 5, 1)}
FULL = {"sqlite": (1_000_000, 200, 20), "postgresql": (200_000, 60, 20)}

# What tests/chaos/lies.py can do.
LIES = (
    "report-early",
    "finish-early",
    "send-twice",
    "claim-anything",
    "start-twice",
    "ignore-rollback",
    "forget",
    "finish-twice",
    "forget-fence",
)

# Other faults of one round, at least.
LEAST_FAULTS = 4

EPILOG = """\
The same seed gives the same calls and the same faults. Exit codes: 0 valid, 1 not valid, 2 wrong usage,
130 interrupted. A run that is not valid keeps its folder and says how to do it again. With --folder, the
same command goes on after the last finished round (on PostgreSQL with a new journal: the server is ours).
"""


@dataclass(frozen=True, slots=True)
class Options:
    """tasks, kills, faults (those besides kills) and child_faults are those of all rounds together."""

    seed: int
    tasks: int
    kills: int
    faults: int
    database: str
    clients: int
    threads: int
    slots: int
    children: int
    child_faults: int
    only: str | None
    rounds: int
    patience: float
    lie: str | None
    folder: Path | None
    keep: bool

    @property
    def identity(self) -> dict[str, Any]:
        """What must be the same when a folder is gone on with."""
        return {name: value for name, value in asdict(self).items() if name not in ("folder", "keep")}

    @property
    def repro(self) -> str:
        """The command that does the same again."""
        words = ["scripts/chaos"]
        for name, value in self.identity.items():
            if value is not None:
                words += [f"--{name.replace('_', '-')}", f"{value:g}" if name == "patience" else str(value)]
        return " ".join(words)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/chaos",
        description="Kills, stops and cuts off a working ztaskd, and proves that no task was lost.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_amounts(parser.add_argument)
    _add_ways(parser.add_argument)
    return parser


def _add_amounts(add: Callable[..., object]) -> None:
    add("--seed", type=_from(0), metavar="N", help="which calls and faults (default: a new one)")
    add("--tasks", type=_from(1), metavar="N", help="how many (default 20000; 5000 on PostgreSQL)")
    add("--kills", type=_from(0), metavar="N", help="kill -9 of the daemon (default 10; 5 on PostgreSQL)")
    add(
        "--faults",
        type=_from(0),
        metavar="N",
        help="other faults (default: half as many as kills, at least 4 a round)",
    )
    add("--only", metavar="KIND", help="other faults of this kind only (stop, term, client, cut, ...)")
    add("--database", choices=DATABASES, default="sqlite", help="the journal's database (default sqlite)")
    add("--clients", type=_from(1), default=2, metavar="N", help="processes that enqueue (default 2)")
    add("--threads", type=_from(1), default=2, metavar="N", help="threads of each client (default 2)")
    add("--slots", type=_from(1), default=50, metavar="N", help="the daemon's slots (default 50)")
    add(
        "--children",
        type=_from(0),
        default=2,
        metavar="N",
        help="the daemon's child processes; a twelfth of the tasks is for them (default 2; 0: all run in slots)",
    )
    add(
        "--child-faults",
        type=_from(0),
        metavar="N",
        help="children that are killed, or stopped (default: as many as kills, at least 4 a round)",
    )


def _add_ways(add: Callable[..., object]) -> None:
    add("--rounds", type=_from(1), metavar="N", help="do it in N rounds on one journal (default 1)")
    add("--folder", type=Path, metavar="DIR", help="work there, keep it, and go on with what is there")
    add("--keep", action="store_true", help="keep the folder of a valid run too")
    add(
        "--full",
        action="store_true",
        help="1,000,000 tasks and 200 kills (PostgreSQL: 200,000 and 60) in 20 rounds",
    )
    add(
        "--patience",
        type=_from(1),
        default=60,
        metavar="SECONDS",
        help="without progress: stuck (default 60)",
    )
    add(
        "--lie",
        choices=LIES,
        metavar="NAME",
        help="make ztaskd break its promise (tests/chaos/lies.py): proves the judge",
    )


def parse(arguments: Sequence[str]) -> Options:
    """Exits 2, with the reason, for what cannot be done."""
    parser = build_parser()
    given = parser.parse_args(arguments)
    options = _options(given)
    if problem := _problem(options, given):
        parser.error(problem)
    return options


def _options(given: argparse.Namespace) -> Options:
    """What was given, and the defaults for the rest."""
    tasks, kills, rounds = (
        default if value is None else value
        for default, value in zip(
            (FULL if given.full else SHORT)[given.database],
            (given.tasks, given.kills, given.rounds),
            strict=True,
        )
    )
    child_faults = max(kills, LEAST_FAULTS * rounds) if given.children else 0
    return Options(
        seed=random.SystemRandom().randrange(10**6) if given.seed is None else given.seed,
        tasks=tasks,
        kills=kills,
        faults=max(kills // 2, LEAST_FAULTS * rounds) if given.faults is None else given.faults,
        database=given.database,
        clients=given.clients,
        threads=given.threads,
        slots=given.slots,
        children=given.children,
        child_faults=child_faults if given.child_faults is None else given.child_faults,
        only=given.only,
        rounds=rounds,
        patience=float(given.patience),
        lie=given.lie,
        folder=given.folder,
        keep=given.keep,
    )


def _problem(options: Options, given: argparse.Namespace) -> str | None:
    threads = options.clients * options.threads
    if given.full and options.folder is None:
        return "--full takes long: name its --folder, so that an interrupted run can be gone on with"
    if options.tasks < options.rounds * threads:
        return f"--tasks {options.tasks}: at least one for each thread and round, which are {options.rounds * threads}"
    if options.only not in (None, *plan.kinds(options.database)):
        return f"--only {options.only}: on {options.database} choose from {', '.join(plan.kinds(options.database))}"
    if options.kills * 20 > options.tasks:
        return f"--kills {options.kills}: at most one for every 20 tasks, or nothing runs between two of them"
    if options.child_faults and not options.children:
        return f"--child-faults {options.child_faults}: there are no children with --children 0"
    folder = options.folder
    if folder is not None and folder.exists():
        if not folder.is_dir():
            return f"--folder {folder}: it is no folder"
        if any(folder.iterdir()) and not (folder / "results.json").exists():
            return (
                f"--folder {folder}: there are other files in it, and no results.json of a run to go on with"
            )
    return None


def _from(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, {least} or more")
        return int(text)

    return number
