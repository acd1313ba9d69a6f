"""Why is this task not running, or why has it failed? Pure questions about a row and what is known of the nodes, each
answered with a sentence and what to do.

evidence.py gathers what is asked here; `ztaskd explain` prints the answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from django_ztask import progress
from django_ztask.explain_failed import why_failed
from django_ztask.explain_queued import why_queued
from django_ztask.findings import SKEW, Evidence, Finding, apart, duration
from django_ztask.lifecycle import Status


def explain(evidence: Evidence) -> list[Finding]:
    """What is to be said, the most important first. Never empty."""
    status = evidence.row["status"]
    by_status: dict[str, Callable[[Evidence], Iterator[Finding]]] = {
        Status.QUEUED: why_queued,
        Status.RUNNING: _why_running,
        Status.FAILED: why_failed,
        Status.SUCCEEDED: _succeeded,
        Status.CANCELLED: _cancelled,
    }
    why = by_status.get(status)
    if why is None:
        return [
            Finding(
                "unknown-state", f"its state is {status!r}: somebody has edited the row", "delete the row"
            )
        ]
    return [*why(evidence), *_surroundings(evidence)]


def _why_running(evidence: Evidence) -> Iterator[Finding]:
    row = evidence.row
    since = row["claimed"]
    ago = "" if since is None else f" for {duration(evidence.now - since)}"
    node = next((node for node in evidence.nodes if node.boot == row["node"]), None)
    if row["cancel_requested"] is not None:
        yield Finding(
            "cancelling",
            f"it was asked to end {duration(evidence.now - row['cancel_requested'])} ago, and goes on",
            "wait until it does; a task that never waits, or swallows TaskCancelled, ends when it returns (or with its node)",
        )
    if node is not None and node.is_alive:
        what = f"it has been on the node {node}{ago}: attempt {row['attempts']}{_how_far(evidence)}"
        advice = (
            f"wait; or `kill -USR1 {node.pid}` on {node.host} writes into that node's log where it is, and "
            f"`ztaskd cancel {row['uuid']}` ends it"
        )
        yield Finding("running", what, advice)
    elif node is not None and node.held:
        yield Finding(
            "node-silent",
            f"the node {node} holds it{ago}, does not answer, and its process lives: it stops, or has handed over to new "
            "code, and finishes what it runs (or it is frozen)",
            f"wait, or look at its log (`kill -USR1 {node.pid}` on {node.host} writes there what it does); what still "
            "runs when its --grace is over goes back to the queue",
        )
    elif node is not None and node.held is None and node.left > 0:
        yield Finding(
            "node-silent",
            f"the node {node} holds it{ago} and does not answer: it stops or has handed over, and finishes what it runs, "
            f"or it is gone; its lease runs for {node.left:.0f} s more",
            "look at its log; when it is gone, another node (or it, started again) runs the task at no cost",
        )
    else:
        yield Finding(
            "node-gone",
            f"its node is gone (boot {row['node']}): nobody runs it",
            "start ztaskd; a living node takes it back within ten seconds (an at_most_once task that had started is FAILED)",
        )


def _how_far(evidence: Evidence) -> str:
    """What this attempt has said of it last."""
    attempt, said = progress.of_row(evidence.row["progress"]) or (None, None)
    if said is None or attempt != evidence.row["attempts"]:
        return ""
    part = "" if said.fraction is None else f" of {said.total:,} ({int(said.fraction * 100)} %)"
    text = f" {said.text!r}" if said.text else ""
    return f"; it said {duration(evidence.now - said.at)} ago that it is at {said.done:,}{part}{text}"


def _succeeded(evidence: Evidence) -> Iterator[Finding]:
    ago = evidence.row["finished"]
    when = "" if ago is None else f" {duration(evidence.now - ago)} ago"
    yield Finding("succeeded", f"it has succeeded{when}, at attempt {evidence.row['attempts']}")


def _cancelled(evidence: Evidence) -> Iterator[Finding]:
    yield Finding("cancelled", "it was cancelled", "call it again, if it is wanted after all")


def _surroundings(evidence: Evidence) -> Iterator[Finding]:
    """What is wrong beside it."""
    if evidence.unapplied:
        names = ", ".join(evidence.unapplied)
        yield Finding("migrations", f"migrations are missing: {names}", "python manage.py migrate")
    if abs(evidence.skew) > SKEW:
        yield Finding(
            "clock", f"the database's clock is {apart(evidence.skew)} this machine's", "let NTP set both"
        )
    for node in evidence.nodes:
        skew = (node.answer or {}).get("ahead", 0.0)
        if node.error == "stale" or abs(skew) > SKEW:
            by = "minutes off" if node.error == "stale" else apart(skew)
            yield Finding("clock", f"the clock of node {node} is {by} this machine's", "let NTP set both")
        if node.error == "mac":
            yield Finding(
                "node-key",
                f"the node {node} has another SECRET_KEY: it would refuse what is called here",
                "give both the same SECRET_KEY, or the other's in SECRET_KEY_FALLBACKS; restart the daemon",
            )
        if node.is_alive and node.version != evidence.version:
            what = f"the node {node} runs version {node.version}; here it is {evidence.version}"
            yield Finding("version", what, "restart the daemon")
