"""What a run found: the table on the terminal, and the JSON."""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.figures import Figure

HEAD = ("workload", "figure", "measured", "limit", "ratio", "aim", "met")


@dataclass
class Row:
    """One figure of a workload, over all repeats."""

    workload: str
    figures: list[Figure] = field(default_factory=list)

    @property
    def value(self) -> float:
        return statistics.median(figure.value for figure in self.figures)

    @property
    def limit(self) -> float | None:
        limits = [figure.limit for figure in self.figures if figure.limit is not None]
        return statistics.median(limits) if limits else None

    @property
    def met(self) -> bool | None:
        aim = self.figures[0].aim
        return None if aim is None else aim.test(self.value, self.limit)

    def as_json(self) -> dict[str, Any]:
        first = self.figures[0]
        return {
            "workload": self.workload,
            "figure": first.name,
            "unit": first.unit,
            "values": [figure.value for figure in self.figures],
            "median": self.value,
            "beside": first.beside,
            "limits": [figure.limit for figure in self.figures],
            "limit": self.limit,
            "ratio": self.value / self.limit if self.limit else None,
            "aim": first.aim.text if first.aim else None,
            "met": self.met,
        }

    def cells(self) -> tuple[str, ...]:
        first, limit = self.figures[0], self.limit
        measured = f"{_number(self.value)} {first.unit}"
        if len(self.figures) > 1:
            values = [figure.value for figure in self.figures]
            measured += f" ({_number(min(values))}-{_number(max(values))})"
        beside = f"{_number(limit)} {first.beside}" if limit is not None else ""
        ratio = f"{self.value / limit:.2f}" if limit else ""
        met = {None: "", True: "yes", False: "NO"}[self.met]
        return (self.workload, first.name, measured, beside, ratio, first.aim.text if first.aim else "", met)


class Report:
    def __init__(self, options: dict[str, Any], machine: dict[str, Any]) -> None:
        self.options = options
        self.machine = machine
        self.rows: dict[tuple[str, str], Row] = {}
        self.errors: list[tuple[str, str]] = []
        self.skipped: list[tuple[str, str]] = []
        self.loads: list[tuple[str, float]] = []

    def add(self, workload: str, figures: list[Figure]) -> None:
        for figure in figures:
            self.rows.setdefault((workload, figure.name), Row(workload)).figures.append(figure)

    def table(self) -> str:
        lines = [HEAD, *(row.cells() for row in self.rows.values())]
        widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
        text = [
            "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)) for line in lines
        ]
        text += [f"{name}: skipped: {why}" for name, why in self.skipped]
        text += [f"{name}: NO FIGURE: {why}" for name, why in self.errors]
        return "\n".join(line.rstrip() for line in text)

    def save(self, path: Path) -> None:
        found = {
            "machine": self.machine,
            "options": self.options,
            "figures": [row.as_json() for row in self.rows.values()],
            "skipped": self.skipped,
            "errors": self.errors,
            "load before": self.loads,
        }
        path.write_text(json.dumps(found, indent=1) + "\n")


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
