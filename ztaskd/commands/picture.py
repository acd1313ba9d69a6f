"""What `status` and `top` show: lines for people, made of what nodes and the journal tell. Pure."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ztaskd.commands import how_far
from ztaskd.commands.printing import (
    NARROW,
    SHORT_ID,
    age,
    clean,
    columns,
    cut,
    local,
    number,
    one_line,
    without_module,
)

# Before a value.
MARGIN = 14

# How many running tasks, and functions that block, one screen has room for.
RUNNING, BLOCKINGS = 10, 3


def fact(name: str, value: str) -> str:
    return f"  {name:<{MARGIN}}{value}"


def folded(line: str, room: int) -> list[str]:
    """A line of `status` as so many lines of `room` columns as it needs, each under the beginning of its words."""
    if columns(line) <= room:
        return [line]
    margin = re.match(r"  (\w+ )*\w* {2,}|  -> | *", line)
    indent = min(margin.end() if margin else 0, room // 2)
    lines = textwrap.wrap(line, room, subsequent_indent=" " * indent, break_on_hyphens=False)
    return [cut(each, room) for each in lines]


def headline(node: Mapping[str, Any]) -> str:
    return clean(
        f"{node['name']}  pid {node['pid']}  up {age(node['uptime'])}  ztaskd {node['version']}  {node['url']}"
    )


def facts(node: Mapping[str, Any], now: float) -> Iterator[tuple[str, str]]:
    """About one node that answers."""
    yield "state", state(node)
    if reason := node.get("reload"):  # (a daemon of older code does not tell)
        yield "reload", clean(reason)
    slots, children, suspects = node["slots"], node["children"], node["suspects"]
    places = f"{slots['busy']:,} of {slots['total']:,} slots"
    if children["busy"] or children["alive"] or node["multiprocess"]:
        places += f", {children['busy']:,} of {children['total']:,} children ({children['alive']:,} alive)"
    if suspects["busy"]:
        places += f", {suspects['busy']:,} of {suspects['total']:,} children for suspects"
    yield "busy", places
    if node["waiting"]:
        yield "claimed", f"{number(node['waiting'], 'more task')} that wait for a place"
    yield (
        "per second",
        f"{per_second(node['rates']['10s'])} (10 s); {per_second(node['rates']['60s'])} (1 min)",
    )
    yield "since start", totals(node["totals"])
    if error := node["last_error"]:
        yield "last error", failure(error, now)
        yield "", f"{clean(error['id'])}  {clean(error['function'])}"
    for total in node["blockings"][:BLOCKINGS]:
        times = f"{number(total['times'], 'time')}, {total['seconds']:.1f} s in all"
        yield "blocked by", f"{clean(total['function'])}: {times}, {total['longest']:.1f} s at most"
    if node["refused"]:
        reasons = ", ".join(f"{clean(reason)} {count:,}" for reason, count in sorted(node["refused"].items()))
        yield "refused", f"messages: {reasons} (its log says more)"


def state(node: Mapping[str, Any]) -> str:
    said = []
    if node["draining"]:
        said.append("STOPPING: takes no more tasks, finishes what runs")
    if node["paused"]:
        said.append(f"PAUSED: starts no more tasks: {clean('; '.join(node['paused']))}")
    if node["journal_silent"] > 1:
        said.append(f"its database has not answered for {age(node['journal_silent'])}")
    return "; ".join(said) or "serves"


def per_second(rate: Mapping[str, float]) -> str:
    """`41 ok`, `0.2 ok, 1.5 failed`."""
    said = [f"{_figure(rate['succeeded'])} ok"]
    said += [
        f"{_figure(value)} {name.replace('_', ' ')}"
        for name, value in rate.items()
        if value and name != "succeeded"
    ]
    return ", ".join(said)


def _figure(value: float) -> str:
    return (
        f"{value:,.0f}" if value >= 10 or value == 0 else f"{value:.1f}" if value >= 0.1 else f"{value:.2f}"
    )


def totals(ended: Mapping[str, int]) -> str:
    said = [f"{count:,} {name.replace('_', ' ')}" for name, count in ended.items() if count]
    return ", ".join(said) or "no task has ended"


def failure(error: Mapping[str, Any], now: float) -> str:
    return f"{age(now - error['time'])} ago: {_exception(error)}"


def failed(error: Mapping[str, Any], now: float, width: int) -> list[str]:
    """The same as a row of a table, for a terminal of so many columns."""
    return [f"{age(now - error['time'])} ago", _id(error, width), clean(error["function"]), _exception(error)]


def _exception(error: Mapping[str, Any]) -> str:
    return without_module(one_line(error["exception"])) or "?"


def _id(task: Mapping[str, Any], width: int) -> str:
    return clean(task["id"])[: SHORT_ID if width < NARROW else None]


def tasks(nodes: Sequence[Mapping[str, Any]], most: int, width: int) -> tuple[list[str], list[list[str]]]:
    """What the nodes run, the oldest first: the head and the rows of a table, for a terminal of so many columns. (A
    column that would say nothing is left out: which node, and the progress.)"""
    found = [(task["since"], node["name"], task) for node in nodes for task in node["running"]]
    found = sorted(found, key=lambda each: -each[0])[:most]
    columns = {
        "AGE": [age(since) for since, _, _ in found],
        "NODE": [clean(name) for _, name, _ in found] if len(nodes) > 1 else [],
        "PLACE": [clean(task["place"]) for _, _, task in found],
        "TRY": [clean(task["attempt"]) for _, _, task in found],
        "ID": [_id(task, width) for _, _, task in found],
        "FUNCTION": [clean(task["function"]) for _, _, task in found],
        "PROGRESS": [progress(task["progress"]) for _, _, task in found],
    }
    if not any(task["progress"] for _, _, task in found):
        columns["PROGRESS"] = []
    shown = {name: values for name, values in columns.items() if values}
    return list(shown), [list(row) for row in zip(*shown.values(), strict=True)]


def run_in_all(nodes: Sequence[Mapping[str, Any]]) -> int:
    return sum(node["running_total"] for node in nodes)


def progress(said: Any) -> str:
    """What a task has told of how far it is: `24 % parsing`, or `1,203 parsing`."""
    if not said:
        return ""
    # (Rounded down: what is not done is not 100 %.)
    done = how_far.number(said["done"]) if said["fraction"] is None else f"{int(said['fraction'] * 100)} %"
    return clean(f"{done} {said['text']}".strip())


def counts(journal: Mapping[str, Any], now: float) -> Iterator[tuple[str, str]]:
    """About the journal."""

    def count(name: str) -> str:
        return f"{journal[name]:,}{'+' if name in journal['at_least'] else ''}"

    due = f" ({count('due')} of them due)" if journal["queued"] else ""
    yield "queued", f"{count('queued')}{due}"
    yield "running", f"{count('running')}{_claims(journal)}"
    yield "failed", count("failed")
    for pause in journal["paused"]:
        yield "paused", clean(f"{pause['what']}, {pause['since_whom']}: {pause['again']}")
    if oldest := journal["oldest"]:
        yield "oldest", f"waits for {age(oldest['age'])}: {clean(oldest['id'])}  {clean(oldest['function'])}"


def _claims(journal: Mapping[str, Any]) -> str:
    """Who has what runs, when it is somebody that does not live."""
    known = {node["boot"]: node for node in journal["nodes"]}
    said = []
    for boot, count in journal["claims"].items():
        node = known.get(boot)
        if node is None:
            said.append(f"{count:,} of a node that is gone")
        elif not node["lives"]:
            said.append(f"{count:,} of {clean(node['name'])}, which is gone")
    return f" ({', '.join(said)}: queued again when a node starts)" if said else ""


def known_nodes(journal: Mapping[str, Any], answered: set[str]) -> Iterator[str]:
    """The nodes of the journal that have not answered."""
    for node in journal["nodes"]:
        if node["boot"] in answered:
            continue
        who = f"{node['name']} (pid {node['pid']} on {node['host']}, {node['url']})"
        if node["lives"]:
            lease = f"lease for {age(node['left'])} more" if node["left"] > 0 else "its lease has ended"
            yield clean(f"{who} lives and does not answer: it stops, starts, or is blocked; {lease}")
        else:
            since = f", more than {age(-node['left'])} ago" if node["left"] < 0 else ""
            yield clean(f"{who} is gone: killed, or crashed{since}")


def advice(answers: Sequence[Any], journal: Mapping[str, Any] | None) -> Iterator[str]:
    """What to do when no node answers."""
    if any(answer.is_refusal for answer in answers):
        return  # (said already)
    if journal is not None and journal["last_success"] is not None:
        yield f"the last task succeeded at {local(journal['last_success'])}"
    lives = [node for node in journal["nodes"] if node["lives"]] if journal is not None else []
    if lives or any(answer.kind == "blocked" for answer in answers):
        pid = clean(lives[0]["pid"]) if lives else "PID"
        yield f"what to do: look into its log; `kill -USR1 {pid}` writes there what it does"
        if journal is not None and journal["running"]:
            yield "what it holds: `ztaskd list --status RUNNING`"
    else:
        yield "what to do: start it (`ztaskd`, or your supervisor); its log says why it ended"
