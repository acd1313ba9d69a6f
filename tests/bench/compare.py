"""Figures that are aimed at each other: what waits for later must cost nothing, nor must what is over."""

from __future__ import annotations

import json
from pathlib import Path

from tests.bench.figures import Figure, at_most, times
from tests.bench.report import Report

# The same latency whatever waits, and the same memory (MiB more).
LATENCIES, BASE = ("latency-50k", "latency-1m", "latency-sparse"), "latency-0"
SAME, MEMORY = 1.1, 5.0


def latencies(report: Report) -> None:
    """Adds rows that hold each latency against that of an empty table."""
    for name in LATENCIES:
        for figure in ("call to start, p50", "call to start, p99"):
            row, base = report.rows.get((name, figure)), report.rows.get((BASE, figure))
            if row and base:
                held = f"{figure} against"
                report.add(name, [Figure(held, row.value, "ms", times(SAME), base.value, BASE)])
        row, base = report.rows.get((name, "RSS")), report.rows.get((BASE, "RSS"))
        if row and base:
            more = Figure("RSS more than", row.value - base.value, "MiB", at_most(MEMORY), base.value, BASE)
            report.add(name, [more])


def against(report: Report, path: Path) -> list[str]:
    """A line for each figure that an earlier run has as well: how it has changed."""
    earlier = {
        (row["workload"], row["figure"]): row["median"] for row in json.loads(path.read_text())["figures"]
    }
    lines = [f"against {path}:"]
    for key, row in report.rows.items():
        if earlier.get(key):
            change = 100 * (row.value / earlier[key] - 1)
            lines.append(f"  {key[0]:<15} {key[1]:<32} {change:+6.1f} %")
    return lines
