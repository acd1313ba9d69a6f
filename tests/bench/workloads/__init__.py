"""The workloads by name, in the order of a full run. Each gets a fresh stage and returns its figures."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from tests.bench.figures import Figure
from tests.bench.stage import Stage

Workload = Callable[[Stage], list[Figure]]

MODULES = (
    "throughput",
    "callers",
    "transactions",
    "drain",
    "beside",
    "latency",
    "waiting",
    "daemon",
    "children",
    "beside_children",
    "memory",
    "steps",
)

WORKLOADS: dict[str, Workload] = {}


class Skipped(Exception):
    """The workload cannot be measured here; says why."""


def workload(name: str) -> Callable[[Workload], Workload]:
    def register(function: Workload) -> Workload:
        WORKLOADS[name] = function
        return function

    return register


def load() -> dict[str, Workload]:
    """All of them: importing their modules registers them."""
    for name in MODULES:
        import_module(f"tests.bench.workloads.{name}")
    return WORKLOADS
