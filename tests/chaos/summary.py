"""What a run says at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

SUMMED = (
    "tasks",
    "accepted",
    "executed",
    "kills",
    "lost",
    "unexpected",
    "stuck",
    "duplicated",
    "bound",
    "crashes",
    "recovered",
    "rolled_back",
    "refused",
    "cut_off",
)


def total(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """All rounds as one."""
    found: dict[str, Any] = {name: sum(result[name] for result in results) for name in SUMMED}
    found["valid"] = all(result["valid"] for result in results)
    found["seconds"] = sum(result["seconds"] for result in results)
    for name in ("faults", "skipped"):
        found[name] = dict(sum((Counter(result[name]) for result in results), Counter()))
    for name in ("per_kill", "ready", "first_start"):
        found[name] = [value for result in results for value in result[name]]
    return found


def percentile(values: Sequence[float], percent: float) -> float:
    """The least value that `percent` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100).__int__() - 1)]


def lines(seed: int, database: str, results: Sequence[dict[str, Any]]) -> list[str]:
    sums = total(results)
    faults = ", ".join(f"{count} {kind}" for kind, count in sorted(sums["faults"].items())) or "none"
    per_kill = sums["per_kill"] or [0]
    found = [
        ("seed", f"{seed} on {database}, {len(results)} round(s)"),
        ("tasks", f"{sums['tasks']:,} called, {sums['accepted']:,} accepted, {sums['executed']:,} executed"),
        (
            "others",
            f"{sums['rolled_back']:,} rolled back, {sums['refused']:,} refused while the database was away, "
            f"{sums['cut_off']:,} cut off with their caller",
        ),
        ("faults", faults),
        ("kills", f"{sums['kills']} kill -9 of the daemon"),
        ("children", _children(sums)),
        ("lost", f"{sums['lost']}"),
        ("unexpected", f"{sums['unexpected']}"),
        ("stuck", f"{sums['stuck']}"),
        (
            "duplicated",
            f"{sums['duplicated']:,} (bound {sums['bound']:,}); per kill: "
            f"mean {sum(per_kill) / len(per_kill):.1f}, max {max(per_kill)}",
        ),
        ("recovered", f"{sums['recovered']} that ran although their caller was told nothing, or of an error"),
        ("speed", f"{sums['executed'] / sums['seconds']:,.0f} tasks/s end to end"),
        ("recovery", f"{_times('ready', sums['ready'])}; {_times('first task', sums['first_start'])}"),
        ("duration", f"{sums['seconds']:.1f} s"),
    ]
    shown = [f"{name:>10}  {text}" for name, text in found]
    if sums["skipped"]:
        shown.append("   skipped  " + ", ".join(f"{count} {kind}" for kind, count in sums["skipped"].items()))
    for result in results:
        for name, what in result["violations"].items():
            shown.append(f"VIOLATION  {name} ({what['count']}), round {result['round']}:")
            shown += [f"           {example}" for example in what["examples"]]
    shown.append("    result  " + ("valid" if sums["valid"] else "NOT VALID"))
    return shown


def _times(name: str, values: Sequence[float]) -> str:
    if not values:
        return f"{name} -"
    return f"{name} p50 {percentile(values, 50):.2f} s, p99 {percentile(values, 99):.2f} s"


def _children(sums: dict[str, Any]) -> str:
    faults = sum(count for kind, count in sums["faults"].items() if kind.startswith("child-"))
    return f"{faults} were killed or stopped; {sums['crashes']} took a task along"


def progress(result: dict[str, Any], rounds: int) -> str:
    return (
        f"round {result['round'] + 1}/{rounds}: {result['executed']:,} tasks in {result['seconds']:.1f} s, "
        f"{result['kills']} kills, lost {result['lost']}, unexpected {result['unexpected']}, "
        f"stuck {result['stuck']}, duplicated {result['duplicated']} (bound {result['bound']}): "
        + ("valid" if result["valid"] else "NOT VALID")
    )
