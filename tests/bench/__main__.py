"""scripts/bench: measures ztaskd as users run it, and beside each figure the limit in the same run.

Each workload gets a site, a database and a daemon of its own. Exit code 1: one of them gave no figure.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.bench import compare
from tests.bench.evidence import Failed
from tests.bench.machine import machine
from tests.bench.report import Report
from tests.bench.workloads import Skipped, Workload, load


def main(arguments: list[str]) -> int:
    for number in (signal.SIGINT, signal.SIGTERM):  # (the daemons are in sessions of their own)
        signal.signal(number, signal.default_int_handler)
    options = parse(arguments)
    workloads = load()
    if options.list:
        print("\n".join(workloads))
        return 0
    if options.folder:
        options.folder.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="ztaskd-bench-", dir=options.folder)).resolve()
    told = {
        name: value
        for name, value in vars(options).items()
        if name not in ("folder", "json", "list", "against")
    }
    report = Report(told, machine(folder))
    try:
        run(options, workloads, folder, report)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        shutil.rmtree(folder)
        return 130
    if options.database == "sqlite":
        compare.latencies(report)
    print(report.table())
    if options.against:
        print("\n".join(compare.against(report, options.against)))
    if options.json:
        report.save(options.json)
    if report.errors:
        print(f"what is left of it: {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


def run(options: argparse.Namespace, workloads: dict[str, Workload], folder: Path, report: Report) -> None:
    if options.database == "postgresql":
        from tests.bench.postgres_stage import PostgreSQL as Databases
    else:
        from tests.bench.stage import SQLite as Databases
    databases = Databases(folder, options.history)
    for repeat in range(options.repeat):
        for name in options.workloads or workloads:
            place = folder / f"{name}-{repeat}"
            place.mkdir()
            report.loads.append((name, os.getloadavg()[0]))
            print(f"{name} ...", file=sys.stderr, flush=True)
            stage = databases.stage(place, databases, options.scale, options.history)
            try:
                report.add(name, workloads[name](stage))
            except Skipped as why:
                report.skipped.append((name, str(why)))
            except (Failed, AssertionError, subprocess.SubprocessError) as error:
                report.errors.append((name, str(error)))
                continue
            finally:
                stage.close()
            shutil.rmtree(place)


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("workloads", nargs="*", metavar="workload", help="default: all; see --list")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="rounds; shows median (min-max)")
    parser.add_argument("--history", type=int, default=0, metavar="ROWS", help="finished rows in the table")
    parser.add_argument("--scale", type=float, default=1.0, metavar="F", help="of all counts, e.g. 0.05")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write machine, options and all figures")
    parser.add_argument("--against", type=Path, metavar="FILE", help="an earlier --json: shows what changed")
    parser.add_argument(
        "--folder", type=Path, metavar="DIR", help="where the databases are: this disk counts"
    )
    parser.add_argument("--list", action="store_true", help="the names of the workloads")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.workloads if name not in load()]
    if unknown:
        parser.error(f"unknown workload {', '.join(unknown)}: choose from {', '.join(load())}")
    if options.repeat < 1 or options.scale <= 0 or options.history < 0:
        parser.error("--repeat must be 1 or more, --scale above 0, --history 0 or more")
    return options


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
