"""explain: each reason by itself, from evidence as it would be gathered."""

from __future__ import annotations

from typing import Any

import pytest

from django_ztask.explain import explain
from django_ztask.findings import Evidence, Finding, NodeSeen
from django_ztask.pauses import EVERYTHING, Pause
from django_ztask.progress import Progress, to_text

NOW = 1_800_000_000.0

ROW: dict[str, Any] = {
    "uuid": "0198c9f3-7a",
    "function_name": "shop.tasks.add",
    "status": "QUEUED",
    "queue": "default",
    "pool": "",
    "priority": 0,
    "next_attempt": NOW - 1,
    "created": NOW - 1,
    "failed": None,
    "claimed": None,
    "started": None,
    "finished": None,
    "cancel_requested": None,
    "attempts": 0,
    "failures": 0,
    "crashes": 0,
    "interruptions": 0,
    "replays": 0,
    "retry_count": 5,
    "last_exception": None,
    "node": None,
    "progress": None,
    "codec": "json",
    "meta": None,
    "unsuccessful": [],
}


def node(**values: Any) -> NodeSeen:
    known = {
        "boot": "boot",
        "name": "web1",
        "host": "web1",
        "pid": 7,
        "url": "ipc:///n",
        "version": "1",
        "left": 10.0,
    }
    return NodeSeen(**{**known, "answer": {}, **values})


def found(known: dict[str, Any] | None = None, **row: Any) -> list[Finding]:
    evidence: dict[str, Any] = {"now": NOW, "version": "1", "nodes": [node()], **(known or {})}
    return explain(Evidence(row={**ROW, **row}, **evidence))


def codes(known: dict[str, Any] | None = None, **row: Any) -> list[str]:
    return [finding.code for finding in found(known, **row)]


def test_what_is_due_waits_for_a_slot_behind_those_before_it() -> None:
    [finding] = found({"ahead": 41, "running": 8})
    assert finding.code == "slot"
    assert "41 due tasks start before it, 8 run now" in finding.what
    assert "more than 10,000" in found({"ahead": 10_001})[0].what


def test_what_is_due_later_says_when_and_a_retry_says_of_what() -> None:
    [finding] = found(next_attempt=NOW + 90)
    assert (finding.code, "in 90.0 s" in finding.what) == ("due", True)
    [finding] = found(next_attempt=NOW + 600, failures=1, attempts=1, last_exception="ValueError: no\nmore")
    assert finding.code == "retry"
    assert "ValueError: no)" in finding.what
    assert "in 10 min" in finding.what


def test_without_a_node_it_says_which_one_was_there_last() -> None:
    assert codes({"nodes": []}) == ["no-node"]
    [finding] = found({"nodes": [node(answer=None, error="silence", left=-30.0)]})
    assert "web1" in finding.what
    assert "ended 30 s ago" in finding.what
    [finding] = found({"nodes": [node(answer=None, error="silence")]})
    assert "does not answer" in finding.what


def test_what_keeps_it_from_ever_running_comes_first() -> None:
    assert codes({"key": None}) == ["mac", "slot"]
    assert codes({"key": 2}) == ["old-key", "slot"]
    assert "SECRET_KEY_FALLBACKS[1]" in found({"key": 2})[0].what
    assert codes({"unknown": "shop.tasks.gone: no"}) == ["unknown-function", "slot"]
    assert codes({"allow_pickle": False}, codec="pickle") == ["pickle", "slot"]
    assert codes(next_attempt="soon") == ["no-due-time"]
    assert codes(next_attempt=float("nan")) == ["no-due-time"]
    assert codes(next_attempt=None) == ["no-due-time"]


def test_suspects_and_a_full_disk() -> None:
    assert codes({"free": 5, "headroom": 6}) == ["disk", "slot"]
    assert codes({"free": 6, "headroom": 6}) == ["slot"]
    assert codes(pool="suspect") == codes(pool="suspect-greenlet") == ["suspect", "slot"]


def test_a_paused_queue_is_told_from_the_journal_whatever_else_keeps_it_waiting() -> None:
    mail, everything = Pause(7, "mail", NOW, "ann@web1", "it is down"), Pause(8, EVERYTHING, NOW, "bob@web2")
    [finding] = found({"pauses": [mail]}, queue="mail", pool="paused-7")
    assert (finding.code, finding.advice) == ("paused", "ztaskd resume --queue mail")
    assert finding.what.startswith("queue mail is paused since 20")
    assert finding.what.endswith("by ann@web1 (it is down): it waits")
    assert codes({"pauses": [mail]}) == ["slot"], "another queue"
    assert codes({"pauses": [mail]}, queue="mail", next_attempt=NOW + 9) == ["paused", "due"]
    assert codes({"pauses": [mail], "nodes": []}, queue="mail") == ["no-node", "paused"]
    assert [finding.advice for finding in found({"pauses": [mail, everything]}, queue="mail")] == [
        "ztaskd resume --queue mail",
        "ztaskd resume",
    ]
    assert codes({"pauses": [everything]}) == ["paused"]
    assert codes(pool="paused-7") == ["comes-back", "slot"]
    assert codes(pool="paused-7-s") == ["comes-back", "suspect", "slot"]


@pytest.mark.parametrize("pool", ["suspect", "suspect-greenlet"])
def test_a_suspect_waits_for_a_child_among_suspects_and_slots_do_not_help(pool: str) -> None:
    suspect, waits = found({"ahead": 3, "running": 8}, pool=pool)
    assert "up to 8 such at a time" in suspect.what
    assert "waits for a child: 3 due suspects start before it, 8 run now" in waits.what
    assert "--concurrency" not in suspect.advice + waits.advice
    assert "--concurrency" in found({"ahead": 3})[0].advice


@pytest.mark.parametrize(
    ("row", "known", "code"),
    [
        ({"codec": "legacy", "last_exception": "no"}, {}, "legacy"),
        ({"last_exception": "django_ztask.errors.UnknownTask: x.y: gone"}, {}, "unknown-function"),
        ({"last_exception": "no node knows this task function: gone"}, {}, "unknown-function"),
        ({"last_exception": "django_ztask.errors.MacError: no"}, {"key": None}, "mac"),
        ({"last_exception": "django_ztask.errors.MacError: no"}, {"key": 0}, "mac"),
        ({"last_exception": "its arguments are a pickle, and"}, {}, "pickle"),
        (
            {"unsuccessful": [{"kind": "crash"}], "crashes": 3, "last_exception": "signal 9"},
            {},
            "quarantined",
        ),
        ({"meta": '{"at_most_once": true}', "unsuccessful": [{"kind": "interrupted"}]}, {}, "at-most-once"),
        ({"unsuccessful": [{"kind": "failure"}], "last_exception": "ValueError: no"}, {}, "exception"),
        ({"last_exception": "its row cannot be read: its id holds a NUL"}, {}, "refused"),
        ({"last_exception": None}, {}, "refused"),
    ],
)
def test_why_it_has_failed(row: dict[str, Any], known: dict[str, Any], code: str) -> None:
    [finding] = found(known, status="FAILED", **row)
    assert finding.code == code
    assert finding.advice


def test_a_replay_that_would_fail_is_advised_against() -> None:
    row = {"unsuccessful": [{"kind": "failure"}], "last_exception": "ValueError: no"}
    assert codes({"unknown": "gone"}, status="FAILED", **row) == ["exception", "unknown-function"]


def test_what_runs_is_with_a_node_that_answers_is_silent_or_is_gone() -> None:
    row = {"status": "RUNNING", "node": "boot", "claimed": NOW - 4, "attempts": 1}
    [finding] = found(**row)
    assert (finding.code, "for 4.0 s" in finding.what) == ("running", True)
    assert "`kill -USR1 7` on web1 " in finding.advice
    assert "`ztaskd cancel 0198c9f3-7a`" in finding.advice
    assert codes(**row, cancel_requested=NOW - 1) == ["cancelling", "running"]
    assert codes({"nodes": [node(answer=None, error="silence")]}, **row) == ["node-silent"]
    assert codes({"nodes": [node(answer=None, error="silence", left=-1.0)]}, **row) == ["node-gone"]
    assert codes({"nodes": [node(boot="another")]}, **row) == ["node-gone"]
    assert codes({"nodes": [node(answer=None, error="elsewhere")]}, **row) == ["running"]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            Progress(1203, 5000, "parsing", NOW - 2),
            "said 2.0 s ago that it is at 1,203 of 5,000 (24 %) 'parsing'",
        ),
        (Progress(0.5, None, "", NOW), "that it is at 0.5"),
    ],
)
def test_what_runs_has_said_how_far_it_is(said: Progress, words: str) -> None:
    row = {"status": "RUNNING", "node": "boot", "claimed": NOW - 4, "attempts": 2}
    [finding] = found(**row, progress=to_text(said, 2))
    assert finding.what.endswith(words)
    [finding] = found(**row, progress=to_text(said, 1))
    assert finding.what.endswith("attempt 2")


def test_a_silent_node_whose_process_lives_finishes_what_it_runs_and_one_that_is_gone_does_not() -> None:
    row = {"status": "RUNNING", "node": "boot", "claimed": NOW - 4, "attempts": 1}

    def silent(held: bool | None, left: float = 10.0, **values: Any) -> Finding:
        [finding] = found({"nodes": [node(answer=None, error="silence", held=held, left=left)]}, **values)
        return finding

    for left in (10.0, -1.0):
        living = silent(True, left, **row)
        assert (living.code, "has handed over" in living.what) == ("node-silent", True)
        assert "gone" not in living.what + living.advice
        assert silent(False, left, **row).code == "node-gone"
    assert "it is gone; its lease runs for 10 s more" in silent(None, **row).what
    assert "it stops, is frozen" in silent(True).advice
    assert "is gone" in silent(False).what
    assert "it stops, was killed" in silent(None).advice


def test_what_is_over_says_so() -> None:
    assert codes(status="SUCCEEDED", finished=NOW - 5) == ["succeeded"]
    assert codes(status="CANCELLED") == ["cancelled"]
    assert codes(status="NONSENSE") == ["unknown-state"]


def test_clocks_versions_keys_and_migrations() -> None:
    assert codes({"skew": 5.0}) == codes({"skew": -5.0}) == ["slot", "clock"]
    assert codes({"nodes": [node(answer={"ahead": -9.0})]}) == ["slot", "clock"]
    assert codes({"nodes": [node(answer=None, error="stale")]}) == ["slot", "clock"]
    assert codes({"nodes": [node(answer=None, error="mac")]}) == ["slot", "node-key"]
    assert codes({"nodes": [node(version="2")]}) == ["slot", "version"]
    assert codes({"unapplied": ["django_ztask.0007"]}) == ["slot", "migrations"]
    assert codes(next_attempt=NOW + 50, created=NOW + 40) == ["due", "clock"]
