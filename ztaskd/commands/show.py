"""`ztaskd show`: everything about one task. Pickles are not loaded."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

EXAMPLES = """\
--json writes one object: the keys of `list --json`, and claimed, codec, args, kwargs, policy, result, traceback, progress
(null, or attempt, done, total, text, at, fraction), and unsuccessful (a list of attempts: attempt, kind, node, started,
finished, exception, traceback). args, kwargs and result are what JSON holds, or a text that describes a pickle.

examples:
  ztaskd show 0198c9f3-7a                  the beginning of an id is enough
  ztaskd show 0198c9f3-7a --json | jq .args
"""

# Before a value.
MARGIN = 14


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    from ztaskd.commands import selection

    selection.add_for_one_task(commands, common, "show", "show everything about one task", EXAMPLES)


def run(options: argparse.Namespace) -> int:
    from django.db import connections

    from django_ztask import looking
    from django_ztask.conf import conf
    from ztaskd.cli import Exit
    from ztaskd.commands import printing, selection
    from ztaskd.project import Refusal

    connection: Any = connections[conf.database]
    task_id = selection.find(connection, options.id)
    row = looking.read(connection, task_id)
    if row is None:
        raise Refusal(Exit.NOT_FOUND, f"the task {printing.clean(task_id)} was just deleted")
    if options.json:
        print(printing.as_json(_for_machines(row)))
    else:
        print("\n".join(_lines(row, time.time(), _node(connection, row["node"]))))
    return Exit.CLEAN


def _node(connection: Any, boot: Any) -> str:
    """Which process that boot is, when it is known yet."""
    from django_ztask import looking
    from ztaskd.commands.printing import clean

    for node in looking.nodes(connection) if boot else ():
        if node["boot"] == boot:
            return clean(f"{node['name']} (pid {node['pid']} on {node['host']}), boot {boot}")
    return f"boot {clean(boot)}" if boot else ""


def _lines(row: Mapping[str, Any], now: float, node: str) -> Iterator[str]:
    from ztaskd.commands.printing import clean

    yield f"{clean(row['uuid'])}  {clean(row['status'])}  {clean(row['function_name'])}"
    yield ""
    for name, value in [*_facts(row, now), *([("node", node)] if node else [])]:
        first, *more = value.splitlines() or [""]
        yield f"  {name:<{MARGIN}}{first}".rstrip()
        yield from (f"  {'':<{MARGIN}}{line}".rstrip() for line in more)
    for attempt in row["unsuccessful"]:
        yield ""
        yield from _attempt(attempt, now)
    # (An attempt has its own; without one, of a row from before, the last one is all there is.)
    if row["traceback"] and not row["unsuccessful"]:
        yield ""
        yield from (f"  {line}" for line in clean(row["traceback"], lines=True).splitlines())


def _facts(row: Mapping[str, Any], now: float) -> Iterator[tuple[str, str]]:
    from django_ztask import aside, masking
    from ztaskd.commands import how_far
    from ztaskd.commands.printing import clean, local_and_age

    given = masking.masked(row["codec"], row["args"], row["kwargs"], masking.of_meta(row["meta"]))
    for name, text in zip(("args", "kwargs"), given, strict=True):
        yield name, readable(row["codec"], text)
    if row["result"] is not None:
        yield "result", result(row["result"])
    if row["last_exception"] and row["status"] != "SUCCEEDED":
        yield "exception", clean(row["last_exception"], lines=True)
    if (said := how_far.of_row(row["progress"], row["attempts"], now)) is not None:
        yield "progress", said
    for name in ("created", "claimed", "started", "finished", "failed"):
        if row[name] is not None:
            yield name, local_and_age(row[name], now)
    if row["cancel_requested"] is not None and row["status"] == "RUNNING":
        yield "cancelled", f"asked for {local_and_age(row['cancel_requested'], now)}"
    due = row["next_attempt"]
    if row["status"] == "QUEUED":
        yield "due", local_and_age(due, now) if isinstance(due, int | float) else clean(due)
    counts = [f"{row['attempts']} in all"]
    for name in ("failures", "crashes", "interruptions"):
        if row[name]:
            counts.append(f"{row[name]} {name[:-1] if row[name] == 1 else name}")
    yield "attempts", clean(", ".join(counts))
    yield "retries left", clean(row["retry_count"])
    if row["replays"]:
        yield "replayed", clean(f"{row['replays']} time{'' if row['replays'] == 1 else 's'}")
    yield "queue", clean(row["queue"])
    yield "priority", clean(row["priority"])
    if row["pool"]:
        put = f"{aside.home(row['pool']) or 'as the node takes it'} (put aside: its queue is paused, or was)"
        yield "pool", clean(put if aside.is_aside(row["pool"]) else row["pool"])
    if row["meta"]:
        yield "policy", clean(row["meta"])


def _attempt(attempt: Mapping[str, Any], now: float) -> Iterator[str]:
    from ztaskd.commands.printing import age, clean, local_and_age

    took = ""
    if attempt["started"] is not None and attempt["finished"] is not None:
        took = f", took {age(attempt['finished'] - attempt['started'])}"
    head = f"attempt {attempt['attempt']}: {attempt['kind']}, ended {local_and_age(attempt['finished'], now)}{took}"
    yield clean(head)
    text = attempt["traceback"] or attempt["exception"]
    yield from (f"  {line}" for line in clean(text, lines=True).splitlines())


def readable(codec: str, text: Any) -> str:
    """Arguments for reading, without loading a pickle."""
    from ztaskd.commands.printing import clean

    if not isinstance(text, str):
        return f"no text, but {type(text).__name__}: somebody has edited the row"
    if codec == "json":
        return clean(text)
    if codec == "pickle":
        return f"pickle, {_bytes(text):,} bytes"
    if codec == "legacy":
        return f"of django-ztask 0.1, unreadable, {len(text):,} characters"
    return f"codec {clean(codec)!r}, {len(text):,} characters"


def result(text: Any) -> str:
    from ztaskd.commands.printing import clean

    if str(text).startswith("pickle:"):
        return f"pickle, {_bytes(str(text).rpartition(':')[2]):,} bytes"
    return clean(str(text).removeprefix("repr:"))


def _bytes(base64: str) -> int:
    return len(base64.rstrip("=")) * 3 // 4


def _for_machines(row: Mapping[str, Any]) -> dict[str, Any]:
    from django_ztask import masking
    from ztaskd.commands import how_far
    from ztaskd.commands.list import for_machines
    from ztaskd.commands.printing import utc

    found = for_machines(row)
    given = masking.masked(row["codec"], row["args"], row["kwargs"], masking.of_meta(row["meta"]))
    values = {
        name: _value(readable(row["codec"], text), row["codec"], text)
        for name, text in zip(("args", "kwargs"), given, strict=True)
    }
    attempts = [
        {**attempt, "started": utc(attempt["started"]), "finished": utc(attempt["finished"])}
        for attempt in row["unsuccessful"]
    ]
    return {
        **found,
        "exception": row["last_exception"],
        "claimed": utc(row["claimed"]),
        "codec": row["codec"],
        **values,
        "policy": _value(row["meta"], "json", row["meta"]),
        "result": None if row["result"] is None else _value(result(row["result"]), "json", row["result"]),
        "traceback": row["traceback"],
        "progress": how_far.for_machines(row["progress"]),
        "unsuccessful": attempts,
    }


def _value(text: Any, codec: str, raw: Any) -> Any:
    """What JSON holds; else `text`."""
    if codec != "json" or not isinstance(raw, str):
        return text
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return text
