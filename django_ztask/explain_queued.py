"""Why a task is still QUEUED."""

from __future__ import annotations

from collections.abc import Iterator

from django_ztask import aside
from django_ztask.findings import SKEW, Evidence, Finding, duration, first_line
from django_ztask.lifecycle import MOST_SUSPECTS, SUSPECTS, UNKNOWN_GRACE


def why_queued(evidence: Evidence) -> Iterator[Finding]:
    yield from _never(evidence)
    yield from _no_node(evidence)
    pauses = [pause for pause in evidence.pauses if pause.concerns(evidence.row["queue"])]
    for pause in pauses:
        yield Finding("paused", f"{pause.what} is paused {pause.since_whom}: it waits", pause.again)
    yield from _not_due(evidence)
    if not evidence.is_due or pauses:
        return
    yield from _no_room(evidence)
    if aside.is_aside(evidence.row["pool"]):
        what = "it was put aside while its queue was paused, and the pause is over"
        advice = "wait: a node brings such tasks back, the first ones first, hundreds at a time"
        yield Finding("comes-back", what, advice)
    if aside.home(str(evidence.row["pool"])) in SUSPECTS:
        yield Finding(
            "suspect",
            "it is a suspect: its node died while it held it, so it runs alone in a child process, up to "
            f"{MOST_SUSPECTS} such at a time",
            "wait; if it takes its child along as well, it is charged with the crash, and FAILED after a few",
        )
    if evidence.alive:
        yield _waits(evidence)


def _waits(evidence: Evidence) -> Finding:
    """For its turn."""
    before = "more than 10,000" if evidence.ahead > 10_000 else f"{evidence.ahead:,}"
    place, others = "slot", "tasks"
    advice = "wait; or raise --concurrency (or --worker-pool-size for children), or give it a higher priority"
    if aside.home(str(evidence.row["pool"])) in SUSPECTS:
        place, others, advice = "child", "suspects", "wait"
    ahead = f"{before} due {others} start before it, {evidence.running:,} run now"
    return Finding("slot", f"it is due and waits for a {place}: {ahead}", advice)


def _never(evidence: Evidence) -> Iterator[Finding]:
    """What keeps it from ever running, or makes it fail at once."""
    row = evidence.row
    if evidence.due is None:
        yield Finding(
            "no-due-time",
            f"its due time is none ({row['next_attempt']!r}): somebody has edited the row; it is FAILED soon",
            "write the time in epoch seconds into next_attempt, or delete it and call again",
        )
    if evidence.key is None:
        yield Finding(
            "mac",
            "its MAC does not verify with SECRET_KEY, nor with any of SECRET_KEY_FALLBACKS: it will be FAILED, unread",
            "if SECRET_KEY was changed, put the old one into SECRET_KEY_FALLBACKS and restart the daemon; if not, "
            "somebody has edited or forged the row: delete it",
        )
    elif row["codec"] == "pickle" and not evidence.allow_pickle:
        yield Finding(
            "pickle",
            "its arguments are a pickle, and ZTASKD_PICKLE is False: it will be FAILED",
            "call it again with arguments that JSON carries, or allow pickles",
        )
    elif evidence.key:
        yield Finding(
            "old-key",
            f"its MAC was made with SECRET_KEY_FALLBACKS[{evidence.key - 1}]",
            "nothing now: leave that key there until such tasks are done",
        )
    if evidence.unknown is not None:
        yield Finding(
            "unknown-function",
            f"its task function cannot be found: {evidence.unknown}",
            f"deploy the code that has it, and restart the daemon; {UNKNOWN_GRACE / 60:.0f} minutes after its due time it "
            "is FAILED (a replayed one at once)",
        )


def _no_node(evidence: Evidence) -> Iterator[Finding]:
    if evidence.alive:
        return
    if not evidence.nodes:
        yield Finding(
            "no-node", "no node is alive: no daemon has registered with this journal", "start ztaskd"
        )
    for node in evidence.nodes:
        if node.left > 0 and node.held is False:
            what = f"no node is alive: the process of {node} is gone"
            advice = "start ztaskd: it takes over what that one held"
        elif node.left > 0:
            what = f"the node {node} does not answer; its lease runs for {node.left:.0f} s more"
            killed = "" if node.held else "was killed, "
            advice = (
                f"it stops, {killed}is frozen, or is very busy: look at its log; if it is gone, start ztaskd"
            )
        else:
            what = f"no node is alive: the lease of {node} ended {-node.left:.0f} s ago"
            advice = "start ztaskd: it takes over what that one held"
        yield Finding("no-node", what, advice)


def _not_due(evidence: Evidence) -> Iterator[Finding]:
    row, due = evidence.row, evidence.due
    if due is None or due <= evidence.now:
        return
    seconds = duration(due - evidence.now)
    if row["failures"]:
        yield Finding(
            "retry",
            f"attempt {row['attempts']} failed ({first_line(row['last_exception'])}); it is tried again in {seconds}, "
            f"and {row['retry_count']} more time(s) after that",
            "wait, or mend what it failed of meanwhile",
        )
    else:
        yield Finding("due", f"it was called for later: it is due in {seconds}", "wait")
    created = row["created"]
    if created is not None and created > evidence.now + SKEW:
        yield Finding(
            "clock",
            f"it was called {duration(created - evidence.now)} in the future: its caller's clock is ahead of this one's",
            "let NTP set the clocks of all machines that call and serve",
        )


def _no_room(evidence: Evidence) -> Iterator[Finding]:
    if evidence.free is not None and evidence.free < evidence.headroom:
        yield Finding(
            "disk",
            f"the node is paused: {evidence.free >> 20:,} MiB are free on the journal's disk, fewer than "
            f"ZTASKD_HEADROOM ({evidence.headroom >> 20:,} MiB)",
            "make room; it goes on by itself",
        )
