"""What `status` and `top` show of a node and the journal, in words and within a terminal's bounds."""

from __future__ import annotations

from typing import Any

import pytest

from ztaskd.commands import picture, screen, status
from ztaskd.commands.nodes import Answer
from ztaskd.commands.printing import columns

URL = "tcp://127.0.0.1:5555"
RATE = {"succeeded": 41.4, "retried": 0.25, "failed": 0.0, "cancelled": 0.0, "handed_back": 0.0}
TOTAL = {"succeeded": 1234567, "retried": 2, "failed": 0, "cancelled": 0, "handed_back": 1}


def failure(**changes: Any) -> dict[str, Any]:
    known = {
        "id": "bad-id",
        "function": "shop.tasks.mail",
        "exception": "shop.errors.NoStock: all\x1b gone",
        "time": 40,
    }
    return {**known, **changes}


def task(since: float, **changes: Any) -> dict[str, Any]:
    known = {"id": "0198c9f3-7a2e-7000-8000-00000000000a", "function": "shop.tasks.mail", "attempt": 1}
    return {**known, "since": since, "place": "slot", "progress": None, **changes}


def node(**changes: Any) -> dict[str, Any]:
    known = {
        "name": "web-1",
        "host": "here",
        "pid": 4321,
        "boot": "b1",
        "reloader": None,
        "url": URL,
        "version": "1.0",
        "uptime": 300000.0,
        "multiprocess": False,
        "concurrency": 100,
        "waiting": 0,
        "slots": {"busy": 12, "total": 100},
        "children": {"busy": 0, "alive": 0, "total": 4},
        "suspects": {"busy": 0, "alive": 0, "total": 8},
        "paused": [],
        "draining": False,
        "journal_silent": 0.0,
        "refused": {},
        "blockings": [],
        "rates": {"10s": RATE, "60s": RATE},
        "totals": TOTAL,
        "last_error": None,
        "failures": [],
        "running": [],
    }
    made = {**known, **changes}
    return {"running_total": len(made["running"]), **made}


def journal(**changes: Any) -> dict[str, Any]:
    known = {
        "database": "db.sqlite3",
        "queued": 0,
        "due": 0,
        "running": 0,
        "failed": 0,
        "at_least": [],
        "paused": [],
    }
    return {**known, "oldest": None, "claims": {}, "last_success": None, "nodes": [], **changes}


def row(**changes: Any) -> dict[str, Any]:
    known = {
        "boot": "b2",
        "name": "web-2",
        "pid": 99,
        "host": "there",
        "url": URL,
        "left": -120.0,
        "lives": False,
    }
    return {**known, **changes}


def seen(*nodes: dict[str, Any], **more: Any) -> status.Seen:
    answers = [Answer(URL, 0.01, each) for each in nodes]
    known: dict[str, Any] = {"journal": journal(), "trouble": "", "now": 100.0}
    return status.Seen(
        answers=answers or [Answer(URL, 2.0, None, "silence", "no node answers")], **{**known, **more}
    )


def said(**changes: Any) -> dict[str, str]:
    return dict(picture.facts(node(**changes), 100.0))


def test_a_node_that_serves_says_what_it_does_and_leaves_out_what_is_nothing() -> None:
    assert picture.headline(node()) == f"web-1  pid 4321  up 3d  ztaskd 1.0  {URL}"
    assert said() == {
        "state": "serves",
        "busy": "12 of 100 slots",
        "per second": "41 ok, 0.2 retried (10 s), 41 ok, 0.2 retried (1 min)",
        "since start": "1,234,567 succeeded, 2 retried, 1 handed back",
    }


def test_what_is_out_of_the_ordinary_is_said() -> None:
    found = said(
        paused=["everything is paused"],
        draining=True,
        journal_silent=90.0,
        waiting=1,
        children={"busy": 1, "alive": 2, "total": 4},
        suspects={"busy": 3, "alive": 3, "total": 8},
        last_error=failure(),
        blockings=[{"function": "shop.tasks.hog", "times": 2, "seconds": 3.0, "longest": 2.5}],
        refused={"mac": 1200, "stale": 1},
    )
    assert "STOPPING" in found["state"]
    assert "PAUSED" in found["state"]
    assert "not answered for 2m" in found["state"]
    assert found["claimed"] == "1 more task that wait for a place"
    assert found["busy"] == "12 of 100 slots, 1 of 4 children (2 alive), 3 of 8 children for suspects"
    assert found["last error"] == "1m ago: NoStock: all\\x1b gone"
    assert found["blocked by"] == "shop.tasks.hog: 2 times, 3.0 s in all, 2.5 s at most"
    assert "mac 1,200, stale 1" in found["refused"]


def test_numbers_that_were_not_counted_to_their_end_say_so() -> None:
    found = dict(
        picture.counts(
            journal(
                queued=100_000,
                due=7,
                running=3,
                at_least=["queued"],
                claims={"b2": 2, "b9": 1},
                nodes=[row()],
                oldest={"id": "an-id", "function": "shop.tasks.mail", "age": 12.0},
            ),
            100.0,
        )
    )
    assert found["queued"] == "100,000+ (7 of them due)"
    assert (
        found["running"]
        == "3 (2 of web-2, which is gone, 1 of a node that is gone: queued again when a node starts)"
    )
    assert found["oldest"] == "waits for 12s: an-id  shop.tasks.mail"


@pytest.mark.parametrize(
    ("known", "words"),
    [
        (row(), "is gone: killed, or crashed, more than 2m ago"),
        (row(left=3.0), "is gone: killed, or crashed"),
        (
            row(lives=True, left=3.0),
            "lives and does not answer: it stops, starts, or is blocked; lease for 3.0s more",
        ),
        (row(lives=True), "its lease has ended"),
    ],
)
def test_nodes_of_the_journal_that_do_not_answer_are_told_apart(known: dict[str, Any], words: str) -> None:
    [line] = picture.known_nodes(journal(nodes=[known, row(boot="b1")]), {"b1"})
    assert line.endswith(words)
    assert line.startswith(f"web-2 (pid 99 on there, {URL}) ")


def test_running_tasks_are_the_oldest_first_and_columns_that_say_nothing_are_left_out() -> None:
    head, rows = picture.tasks([node(running=[task(1), task(500, place="child")])], 5)
    assert head == ["AGE", "PLACE", "TRY", "ID", "FUNCTION"]
    assert [line[:2] for line in rows] == [["8m", "child"], ["1.0s", "slot"]]
    both = [
        node(running=[task(1, progress={"done": 1, "total": 4, "text": "pages", "fraction": 0.25})]),
        node(name="b", running=[task(2)]),
    ]
    head, rows = picture.tasks(both, 1)
    assert head == ["AGE", "NODE", "PLACE", "TRY", "ID", "FUNCTION"]
    assert len(rows) == 1
    head, rows = picture.tasks(both, 2)
    assert head[-1] == "PROGRESS"
    assert rows[1][-1] == "25 % pages"


@pytest.mark.parametrize(
    ("progress", "words"),
    [
        (None, ""),
        ({"done": 1203, "total": None, "text": "a\nb", "fraction": None}, "1,203 a\\nb"),
        ({"done": 0.5, "total": None, "text": "", "fraction": None}, "0.5"),
        ({"done": 2, "total": 3, "text": "", "fraction": 2 / 3}, "66 %"),
        ({"done": 999, "total": 1000, "text": "pages", "fraction": 0.999}, "99 % pages"),
    ],
)
def test_progress_is_shown_in_a_few_words(progress: Any, words: str) -> None:
    assert picture.progress(progress) == words


def test_what_to_do_when_no_node_answers_depends_on_who_lives() -> None:
    silence = seen().answers
    assert "start it" in list(picture.advice(silence, journal()))[-1]
    assert "start it" in list(picture.advice(silence, None))[-1]
    assert "kill -USR1 99" in list(picture.advice(silence, journal(nodes=[row(lives=True)])))[-1]
    assert "kill -USR1 PID" in list(picture.advice([Answer(URL, 2.0, None, "blocked", "took it")], None))[-1]
    assert list(picture.advice([Answer(URL, 2.0, None, "mac", "another key", "do")], journal())) == []


@pytest.mark.parametrize("width", [20, 80, 200])
@pytest.mark.parametrize("height", [1, 2, 6, 12, 24, 60])
def test_top_stays_within_any_terminal(width: int, height: int) -> None:
    many = [task(float(n), function="shop.tasks." + "long_name" * 20) for n in range(200)]
    pictures = [
        seen(node(running=many, running_total=5000, failures=[failure(exception="x" * 500)] * 5)),
        seen(node()),
        seen(journal=None, trouble="there is no database\nat all"),
        seen(journal=journal(nodes=[row()])),
    ]
    for each in pictures:
        lines = screen.fitted(each, width, height)
        assert 0 < len(lines) <= height
        drawn = screen.picture_of(each, width, height).plain.split("\n")
        assert len(drawn) == len(lines)
        assert all(columns(line) <= width for line in drawn)


def test_top_shows_running_tasks_before_failures_and_says_how_many_there_are_more() -> None:
    many = [task(float(n)) for n in range(200)]
    full = seen(node(running=many, running_total=5000, failures=[failure()] * 5))
    text = screen.picture_of(full, 80, 24).plain
    assert "more tasks" in text
    assert text.splitlines()[0].endswith("q leaves")
    few = seen(node(running=many[:3], failures=[failure()] * 5))
    text = screen.picture_of(few, 80, 24).plain
    assert text.count("0198c9f3") == 3
    assert text.count("NoStock") == 5
    assert "more tasks" not in text
