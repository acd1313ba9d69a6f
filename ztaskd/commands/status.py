"""`ztaskd status`: which nodes answer and what they do, and how the journal stands."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

# It works while the database is down.
NEEDS_JOURNAL = False

EXAMPLES = """\
It asks the nodes at the addresses of ZTASKD_URL, and those on this host that the journal knows; and the journal how many
tasks are queued, due (their time has come), running and FAILED: 100,000+ is more than that. Nobody waits for it.

--json writes one object: time; nodes, a list; journal, an object or null, and then trouble says why.
  a node: url, answers (true or false). If false: kind (silence, blocked, mac, stale, ...), reason, advice. If true:
    name, host, pid, boot, reloader (process id or null), version, started, uptime (seconds), concurrency, multiprocess,
    slots {busy, total}, children and suspects {busy, alive, total}, waiting (claimed, without a place yet), paused (why, if so),
    reload (null, or why new code was refused at HUP), draining, journal_silent (seconds), rates {10s, 60s} and totals, each by outcome {succeeded, retried, failed, cancelled,
    handed_back}, last_error (or null) and failures, the last five {id, function, attempt, kind, outcome, exception, time},
    blockings {function, times, seconds, longest}, refused (messages, by reason), running_total, and
    running: the 200 that run the longest {id, function, attempt, since (seconds), place (slot, child, suspect),
    progress {done, total, text, fraction} or null}.
  journal: database, queued, due, running, failed (numbers), at_least (names of those that are more than that),
    paused {queue, what, since_whom, again}, oldest (or null) {id, function, pool, priority, attempts, due, age}, claims (running tasks, by boot), last_success,
    nodes {boot, name, host, pid, url, version, started, left (seconds of its lease), lives}.
Times are ISO 8601, UTC.

examples:
  ztaskd status
  ztaskd status --json | jq '.nodes[].rates."60s".succeeded'
  ztaskd status > /dev/null || echo 'no daemon!' | mail -s ztaskd admin@example.org

exit codes: 0 a node answers, 1 none does, 2 usage or settings
"""


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    from ztaskd.commands.ping import add_timeout

    text = "say which nodes run, what they do, and what waits"
    parser = commands.add_parser(
        "status",
        help=text,
        description=text.capitalize() + ".",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[common],
    )
    parser.add_argument("--json", action="store_true", help="as one JSON object, for programs")
    add_timeout(parser)


class Seen(NamedTuple):
    """What nodes and the journal tell, at one time. `journal` is None when it tells nothing: see `trouble`."""

    answers: list[Any]
    journal: dict[str, Any] | None
    trouble: str
    now: float

    @property
    def nodes(self) -> list[dict[str, Any]]:
        """Those that answer."""
        return [answer.value for answer in self.answers if answer.value is not None]


def run(options: argparse.Namespace) -> int:
    from ztaskd.cli import Exit
    from ztaskd.commands import picture, printing

    seen = look(options.timeout)
    if options.json:
        print(printing.as_json(for_machines(seen)))
    else:
        room = printing.width()
        print("\n".join(each for line in lines(seen) for each in picture.folded(line, room)))
    return Exit.CLEAN if seen.nodes else Exit.CRASH


def look(timeout: float, journal: Any = None, patience: float | None = None) -> Seen:
    """`journal`: a Look that was begun before, for which we wait as long as `patience` says (seconds)."""
    from django_ztask.conf import conf
    from ztaskd.commands import nodes
    from ztaskd.commands.journal import PATIENCE, Look

    journal = journal or Look()
    answers = nodes.ask_all(conf.url, "status", timeout)
    found = journal.wait(max(PATIENCE, timeout) if patience is None else patience)
    if found:
        others = [url for url in nodes.here(found["nodes"]) if url not in conf.url]
        answers += nodes.ask_all(others, "status", timeout)
    return Seen(answers, found, "" if found else journal.trouble, time.time())


def lines(seen: Seen) -> Iterator[str]:
    """For people."""
    from ztaskd.commands import picture, printing
    from ztaskd.commands.printing import clean, number, table

    for answer in seen.answers:
        if answer.value is None:
            yield from map(clean, answer.lines())
        else:
            yield picture.headline(answer.value)
            yield from (picture.fact(*each) for each in picture.facts(answer.value, seen.now))
        yield ""
    if seen.journal is None:
        yield "journal"
        yield from (f"  {clean(line)}" for line in seen.trouble.splitlines())
    else:
        yield f"journal  {clean(seen.journal['database'])}"
        yield from (picture.fact(*each) for each in picture.counts(seen.journal, seen.now))
        answered = {node["boot"] for node in seen.nodes}
        yield from (f"  {line}" for line in picture.known_nodes(seen.journal, answered))
    head, rows = picture.tasks(seen.nodes, picture.RUNNING, printing.width())
    if rows:
        yield ""
        yield from table(head, rows, right="AGE TRY", left_cut=head.index("FUNCTION")).splitlines()
        if (more := picture.run_in_all(seen.nodes) - len(rows)) > 0:
            yield f"... and {number(more, 'more task')} that run (`ztaskd list --status RUNNING`)"
    if not seen.nodes:
        yield ""
        yield from picture.advice(seen.answers, seen.journal)


def for_machines(seen: Seen) -> dict[str, Any]:
    """With the names that are promised."""
    from ztaskd.commands.printing import utc

    nodes: list[dict[str, Any]] = []
    for answer in seen.answers:
        if answer.value is None:
            reasons = {"kind": answer.kind, "reason": answer.what, "advice": answer.advice}
            nodes.append({"url": answer.url, "answers": False, **reasons})
            continue
        value = {**answer.value, "url": answer.url, "answers": True, "started": utc(answer.value["started"])}
        value["failures"] = [{**each, "time": utc(each["time"])} for each in value["failures"]]
        value["last_error"] = value["failures"][-1] if value["failures"] else None
        value["time"] = utc(value["time"])
        nodes.append(value)
    journal = seen.journal
    if journal is not None:
        oldest = journal["oldest"] and {**journal["oldest"], "due": utc(journal["oldest"]["due"])}
        known = [{**node, "started": utc(node["started"])} for node in journal["nodes"]]
        last = utc(journal["last_success"])
        journal = {**journal, "oldest": oldest, "nodes": known, "last_success": last}
    return {"time": utc(seen.now), "nodes": nodes, "journal": journal, "trouble": seen.trouble or None}
