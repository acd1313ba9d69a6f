"""Lines in JSON: whatever is logged is one object on one line, and nothing of it gets lost."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy

from django_ztask import execute
from django_ztask.lifecycle import Event, Kind, Outcome, Verdict
from django_ztask.rows import Claimed, Finish
from django_ztask.serialize import Payload
from ztaskd import facts, gathering, jsonlines, lastwords, logs
from ztaskd.workers import frames, worker

ID, NAME = "01931f2c-7a3b-7f00-8000-000000000001", "shop.tasks.install"
TASK = Claimed(ID, NAME, Payload("json", "[]", "{}"), "", "", 100.0, 0, 2, 3, 0, 0, {})
ABOUT = {"task_id": ID, "function": NAME, "attempt": 3}
TRACEBACK = 'Traceback (most recent call last):\n  File "x.py", line 1, in f\nValueError: no stock\n'


class Log(gathering.Gathering):
    """What was written, line by line."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)
        super().__init__(jsonlines.JsonLines("shop-1", facts.of_current, facts.of_event))
        self.setFormatter(self.look)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(self.format(record))

    def objects(self) -> list[dict[str, Any]]:
        self.flush()
        return [json.loads(line) for text in self.texts for line in text.split("\n")]


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[Log]:
    handler, ours, theirs = Log(), logs.logger, logging.getLogger("shop")
    monkeypatch.setattr(logs.events, "_subscribers", [])
    for logger in (ours, theirs):
        for name in ("handlers", "level", "propagate"):
            monkeypatch.setattr(logger, name, getattr(logger, name))
    logs.configure(handler, logging.DEBUG)
    theirs.handlers, theirs.propagate, theirs.level = [handler], False, logging.DEBUG
    yield handler
    handler.texts.clear()


def one(log: Log) -> dict[str, Any]:
    [found] = log.objects()
    return found


def ended(kind: Kind, event: Event, **texts: Any) -> None:
    finish = Finish(TASK, 3, Verdict(event, 1, 105.0), Outcome(kind, **texts), 99.0, time.time())
    logs.events.emit("task_ended", finish=finish, seconds=0.0134912)


def test_a_line_says_when_where_and_who(log: Log) -> None:
    before = time.time()
    logging.getLogger("shop").warning("%d left", 3)
    found = one(log)
    assert {name: found[name] for name in ("level", "logger", "message", "node")} == {
        "level": "WARNING",
        "logger": "shop",
        "message": "3 left",
        "node": "shop-1",
    }
    assert list(found) == ["time", "level", "logger", "message", "node", "pid"]
    clock = datetime.fromisoformat(found["time"])
    assert clock.utcoffset() is not None
    assert before - 0.002 < clock.timestamp() <= time.time()
    assert len(found["time"].split(".")[1]) == len("123+01:00")


@pytest.mark.parametrize(
    ("kind", "event", "outcome", "status", "level"),
    [
        (Kind.SUCCESS, Event.SUCCEED, "success", "SUCCEEDED", "INFO"),
        (Kind.FAILURE, Event.RETRY, "failure", "QUEUED", "WARNING"),
        (Kind.FAILURE, Event.FAIL, "failure", "FAILED", "ERROR"),
        (Kind.INTERRUPTED, Event.HAND_BACK, "interrupted", "QUEUED", "WARNING"),
        (Kind.CRASH, Event.HAND_BACK, "crash", "QUEUED", "ERROR"),
        (Kind.CANCELLED, Event.CANCEL, "cancelled", "CANCELLED", "INFO"),
        (Kind.NOT_STARTED, Event.HAND_BACK, "not started", "QUEUED", "DEBUG"),
    ],
)
def test_the_end_of_an_attempt_has_its_facts_as_fields(
    log: Log, kind: Kind, event: Event, outcome: str, status: str, level: str
) -> None:
    ended(kind, event)
    found = one(log)
    assert found["level"] == level
    assert found["event"] == "task_ended"
    assert ABOUT.items() <= found.items()
    assert (found["duration_ms"], found["outcome"], found["status"]) == (13.491, outcome, status)
    assert found["message"].startswith(f"task {ID} {NAME} ")


def test_the_traceback_of_a_failure_is_a_field_and_not_in_the_message(log: Log) -> None:
    ended(Kind.FAILURE, Event.FAIL, exception="ValueError: no stock", traceback=TRACEBACK)
    found = one(log)
    assert found["exception"] == TRACEBACK.rstrip()
    assert found["error"] == "ValueError: no stock"
    assert found["message"].endswith("FAILED. Run it again with `ztaskd --replayfailed`")


@pytest.mark.parametrize(
    ("event", "fields", "known"),
    [
        ("task_fenced", {"task": TASK}, {"event": "task_fenced", **ABOUT}),
        ("task_cancelled", {"id": ID, "function": NAME}, {"task_id": ID, "function": NAME}),
        ("row_unreadable", {"id": ID, "error": "odd"}, {"event": "row_unreadable", "task_id": ID}),
        ("row_refused", {"task_id": ID, "error": "odd"}, {"task_id": ID}),
        ("function_unknown", {"task": TASK, "reason": "no"}, ABOUT),
        ("journal_back", {}, {"event": "journal_back"}),
    ],
)
def test_what_else_happens_has_its_name_and_its_task(
    log: Log, event: str, fields: dict[str, Any], known: dict[str, Any]
) -> None:
    logs.events.emit(event, **fields)
    assert known.items() <= log.objects()[0].items()


def test_one_lines_facts_are_not_the_next_ones(log: Log) -> None:
    ended(Kind.SUCCESS, Event.SUCCEED)
    logs.events.emit("note", text="hello")
    logs.logger.info("by itself")
    assert [set(found) & {"event", "task_id"} for found in log.objects()][1:] == [set(), set()]


def test_what_a_task_logs_carries_its_task_also_from_a_child(log: Log) -> None:
    current = execute._current.set(execute.CurrentTask(ID, NAME, 3, 0))
    try:
        logging.getLogger("shop").error("here", extra={"basket": [1, 2]})
    finally:
        execute._current.reset(current)
    line = frames.Line("shop", 40, 1.25, "there", ID, None, {"basket": [1, 2]}, NAME, 3)
    sent = frames.from_child.decode(frames.pack(line)[4:])
    assert isinstance(sent, frames.Line)
    worker._log(sent, 4711)
    here, there = log.objects()
    assert {**ABOUT, "message": "here", "basket": [1, 2]}.items() <= here.items()
    assert {**ABOUT, "message": "there", "basket": [1, 2], "pid": 4711}.items() <= there.items()
    assert set(there) == set(here)


def test_an_exception_is_one_text_here_and_from_a_child(log: Log) -> None:
    try:
        raise ValueError("no\nstock")
    except ValueError:
        logging.getLogger("shop").exception("what?")
        record = logging.makeLogRecord({"exc_info": sys.exc_info()})
    text = jsonlines.exception_of(record, logging.Formatter())
    worker._log(frames.Line("shop", 40, 1.25, "what?", None, text), 4711)
    for found in log.objects():
        assert found["message"] == "what?"
        assert found["exception"].startswith("Traceback (most recent call last):\n")
        assert found["exception"].endswith("ValueError: no\nstock")


def test_extra_fields_with_our_names_do_not_hide_ours(log: Log) -> None:
    logging.getLogger("shop").info("x", extra={"time": "noon", "pid": 1, "task_id": "theirs"})
    found = one(log)
    assert (found["time_"], found["pid_"], found["task_id"]) == ("noon", 1, "theirs")
    assert found["pid"] != 1


@pytest.mark.parametrize(
    "text",
    [
        "two\nlines\r\n and \x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029 more",
        "\x00\x1b[31m\x7f\x9b",
        'quo"te and \\',
        "Zürich 東京 🎉",
        "%s %d {}",
        "",
    ],
)
def test_any_text_is_one_line_and_comes_back(log: Log, text: str) -> None:
    logging.getLogger("shop").info("%s", text, extra={text or "nothing": text})
    [line] = log.texts
    assert line.splitlines() == [line]
    assert line.isprintable()
    found = json.loads(line)
    assert found["message"] == found[text or "nothing"] == text


def test_a_lone_surrogate_does_not_cost_the_line(log: Log) -> None:
    for logger in (logs.logger, logging.getLogger("shop")):
        logger.handlers = [log]  # (without pytest's own: what it reports of a surrogate, xdist cannot carry)
    logging.getLogger("shop").info(mark_safe("odd \ud800 text"))
    ended(Kind.FAILURE, Event.FAIL, exception="a\ud800", traceback=TRACEBACK + "\ud800")
    first, second = log.objects()
    assert first["message"] == "odd \\ud800 text"
    assert second["error"] == "a\\ud800"


def test_a_translated_message_is_its_text(log: Log) -> None:
    logging.getLogger("shop").info(gettext_lazy("January"))
    assert one(log)["message"] == "January"


def test_lines_that_gather_keep_their_order_and_their_facts(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs.logger, "handlers", [log])  # (without pytest's own)
    for _ in range(3):
        ended(Kind.SUCCESS, Event.SUCCEED)
    logs.events.emit("note", text="after")
    assert len(log.texts) == 2, "three at once, and one"
    assert [found.get("outcome") for found in log.objects()] == ["success"] * 3 + [None]


def test_last_words_look_like_the_log(log: Log, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(lastwords, "look", None)
    with (tmp_path / "said").open("wb") as file:
        lastwords.say("no\nway", file.fileno())
        jsonlines.JsonLines("shop-1").as_last_words()
        lastwords.say("no\nway", file.fileno())
    *text, line = (tmp_path / "said").read_text().splitlines()
    assert text == ["ztaskd: no", "way"]
    found = json.loads(line)
    assert (found["level"], found["message"], found["node"]) == ("CRITICAL", "no\nway", "shop-1")
