"""scripts/chaos: runs the rounds, keeps their results, says what came of it."""

from __future__ import annotations

import json
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.chaos import summary
from tests.chaos.clock import Clock
from tests.chaos.journals import PostgresJournal, SQLiteJournal
from tests.chaos.options import Options, parse
from tests.chaos.round import Round

INTERRUPTED = 130


class OtherRun(Exception):
    """The folder holds a run with other options."""


class Results:
    """The file results.json: the options, and each finished round."""

    def __init__(self, folder: Path, options: Options) -> None:
        self.path = folder / "results.json"
        self.identity = options.identity
        self.rounds: list[dict[str, Any]] = []
        if self.path.exists():
            found = json.loads(self.path.read_text())
            if found["options"] != self.identity:
                raise OtherRun(f"{folder} holds a run with other options: {found['options']}")
            self.rounds = found["rounds"]

    def save(self) -> None:
        found = {"options": self.identity, "rounds": self.rounds}
        if self.rounds:
            found["total"] = summary.total(self.rounds)
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(found, indent=1))
        new.rename(self.path)


def main(arguments: list[str]) -> int:
    for number in (signal.SIGINT, signal.SIGTERM):  # (a shell's background job ignores SIGINT otherwise)
        signal.signal(number, signal.default_int_handler)
    options = parse(arguments)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="ztaskd-chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()
    try:
        results = Results(folder, options)
    except OtherRun as error:
        print(f"scripts/chaos: {error}", file=sys.stderr)
        return 2
    try:
        run(options, folder, results)
    except KeyboardInterrupt:
        print(f"\ninterrupted; {len(results.rounds)} finished round(s) are in {folder}", file=sys.stderr)
        print(f"go on with: {options.repro} --folder {folder}", file=sys.stderr)
        return INTERRUPTED
    print("\n".join(summary.lines(options.seed, options.database, results.rounds)))
    valid = all(result["valid"] for result in results.rounds)
    if valid and options.folder is None and not options.keep:
        shutil.rmtree(folder)
    else:
        print(f"    folder  {folder}")
    if not valid:
        print(f"     again  {options.repro}")
    return 0 if valid else 1


def run(options: Options, folder: Path, results: Results) -> None:
    """Every round that is not finished yet; ends after one that is not valid."""
    results.save()
    sockets = Path(tempfile.mkdtemp(prefix="ztaskd-"))  # (a Unix socket's path must be short)
    try:
        kind = PostgresJournal if options.database == "postgresql" else SQLiteJournal
        journal = kind(folder, sockets, options.lie)
        while len(results.rounds) < options.rounds and all(each["valid"] for each in results.rounds):
            number = len(results.rounds)
            clock = Clock(sockets / "clock")
            place = folder / f"round-{number}"
            shutil.rmtree(place, ignore_errors=True)
            rest = folder / "rest"
            Round(options, number, journal, rest, clock).drain_rest()
            shutil.rmtree(rest, ignore_errors=True)
            result = Round(options, number, journal, place, clock).run()
            results.rounds.append(result)
            results.save()
            if options.rounds > 1:
                print(summary.progress(result, options.rounds), flush=True)
                journal.tidy()
            if result["valid"] and not options.keep:
                shutil.rmtree(place)
    finally:
        shutil.rmtree(sockets, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
