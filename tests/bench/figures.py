"""A figure: a number that was measured, the limit beside it, and what it should be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

# (value, limit) -> whether the aim is met
Test = Callable[[float, float | None], bool]


@dataclass(frozen=True)
class Aim:
    text: str
    test: Test


def at_least(bound: float) -> Aim:
    return Aim(f">= {bound:,g}", lambda value, limit: value >= bound)


def at_most(bound: float) -> Aim:
    return Aim(f"<= {bound:,g}", lambda value, limit: value <= bound)


def times(bound: float) -> Aim:
    """At most so many times the limit."""
    return Aim(f"<= {bound:g} x limit", lambda value, limit: limit is not None and value <= bound * limit)


def plus(bound: float) -> Aim:
    """At most so much more than the limit."""
    return Aim(f"<= limit + {bound:g}", lambda value, limit: limit is not None and value <= limit + bound)


@dataclass(frozen=True)
class Figure:
    """`limit`: what the machine did in the same run without ztaskd; `beside` says what that was."""

    name: str
    value: float
    unit: str
    aim: Aim | None = None
    limit: float | None = None
    beside: str = ""


def percentile(values: Sequence[float], percent: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(percent / 100 * len(ordered)))]


def milliseconds(nanoseconds: Sequence[float]) -> list[float]:
    return [each / 1e6 for each in nanoseconds]
