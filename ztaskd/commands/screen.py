"""The picture of `top`, for a terminal of any size, as rich draws it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from ztaskd.commands import picture
from ztaskd.commands.printing import clean, cut, number, short_local

# Lines that the running tasks have at least, if they need them; and lines of failures.
TASKS, FAILURES = 3, 5

HELP = "q leaves"

# What is not said of a node: it has a place of its own. And on a small terminal, of fewer lines than this.
LEFT_OUT = ("last error", "")
SMALL, LESS = 20, (*LEFT_OUT, "since start", "blocked by", "refused")


def picture_of(seen: Any, width: int, height: int) -> Any:
    """`seen`: what status.look has found; None: nothing yet."""
    from rich.text import Text

    if seen is None:
        return Text("asking ...")
    shown = Text(no_wrap=True, overflow="crop", end="")
    for number_of, (line, style) in enumerate(fitted(seen, width, height)):
        shown.append(("\n" if number_of else "") + cut(line, width), style)
    return shown


def fitted(seen: Any, width: int, height: int) -> list[tuple[str, str]]:
    """The lines, and how each looks: no more than `height`. What there is no room for is left out from below: failures
    first, then running tasks, then the rest."""
    head = [*_title(seen, width), *_nodes(seen, LESS if height < SMALL else LEFT_OUT), *_journal(seen)]
    failures = _failures(seen, width)
    room = height - len(head) - 2
    tasks = picture.run_in_all(seen.nodes)
    room_for_failures = max(0, room - 2 - max(TASKS, min(tasks, room - 2 - len(failures))))
    failures = failures[: room_for_failures + 1] if room_for_failures else []
    below = [("", ""), *failures] if failures else []
    running = list(_tasks(seen, width, height - len(head) - len(below)))
    return [*head, *running, *below][:height]


def _title(seen: Any, width: int) -> Iterator[tuple[str, str]]:
    left = f"ztaskd top  {short_local(seen.now, seen.now)}"
    yield f"{left}{HELP:>{max(len(HELP) + 2, width - len(left))}}", "dim"


def _nodes(seen: Any, left_out: Collection[str]) -> Iterator[tuple[str, str]]:
    for answer in seen.answers:
        if answer.value is None:
            for line in answer.lines():
                yield clean(line), "bold red"
            continue
        yield picture.headline(answer.value), "bold"
        for name, value in picture.facts(answer.value, seen.now):
            if name in left_out:
                continue
            yield picture.fact(name, value), "yellow" if name == "state" and value != "serves" else ""


def _journal(seen: Any) -> Iterator[tuple[str, str]]:
    yield "", ""
    if seen.journal is None:
        yield f"journal  {clean(seen.trouble.splitlines()[0])}", "bold red"
        return
    yield f"journal  {clean(seen.journal['database'])}", "bold"
    counts = dict(picture.counts(seen.journal, seen.now))
    oldest = counts.pop("oldest", "")
    yield "  " + ", ".join(f"{name} {value}" for name, value in counts.items()), ""
    if oldest:
        yield f"  oldest {oldest}", ""
    answered = {node["boot"] for node in seen.nodes}
    for line in picture.known_nodes(seen.journal, answered):
        yield f"  {line}", "yellow"


def _tasks(seen: Any, width: int, room: int) -> Iterator[tuple[str, str]]:
    """`room`: lines."""
    from ztaskd.commands.printing import table

    total = picture.run_in_all(seen.nodes)
    if not total or room < 3:
        return
    head, rows = picture.tasks(seen.nodes, room - 2, width)
    if total > len(rows):
        rows = rows[: room - 3]
    lines = table(head, rows, right="AGE TRY", left_cut=head.index("FUNCTION"), total=width).splitlines()
    yield "", ""
    yield lines[0], "bold"
    for line in lines[1:]:
        yield line, ""
    if total > len(rows):
        yield f"... and {number(total - len(rows), 'more task')}", "dim"


def _failures(seen: Any, width: int) -> list[tuple[str, str]]:
    """The last ones of all nodes, the newest first, under a head."""
    from ztaskd.commands.printing import table

    found = [failure for node in seen.nodes for failure in node["failures"]]
    found.sort(key=lambda failure: -failure["time"])
    rows = [picture.failed(each, seen.now, width) for each in found[:FAILURES]]
    if not rows:
        return []
    lines = table([""] * len(rows[0]), rows, left_cut=2, total=width - 2).splitlines()
    return [("last failures", "bold"), *((f"  {line}", "red") for line in lines[1:])]
