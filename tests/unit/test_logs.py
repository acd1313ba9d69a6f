"""What each event's line says, to the letter: people and scripts read it."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from django_ztask.lifecycle import Event, Kind, Outcome, Verdict
from django_ztask.rows import Claimed, Finish
from django_ztask.serialize import Payload
from ztaskd import logs, output, quiet, tasklines

ID, NAME = "01931f2c-7a3b-7f00-8000-000000000001", "shop.tasks.install"
TASK = Claimed(ID, NAME, Payload("json", '["secret"]', '{"b":2}'), "", "", 100.0, 0, 2, 3, 0, 0, {})
TRACEBACK = (
    "Traceback (most recent call last):\n"
    '  File "/srv/shop/tasks.py", line 12, in install\n    fetch()\n'
    '  File "/srv/shop/net.py", line 7, in fetch\n    raise ValueError\nValueError: no stock\n'
)
Lines = Callable[[], list[str]]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """The lines written so far, as they stand in a log at level INFO."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter(output.FORMAT))
    before = logs.logger.handlers, logs.logger.level, logs.logger.propagate
    logs.logger.handlers, logs.logger.propagate = [handler], False
    logs.logger.setLevel(logging.INFO)
    for line in logs._LINES.values():
        if isinstance(line, quiet.Quiet):
            line.next = 0.0
    tasklines._refusals, tasklines._changes = quiet.Kinds(), quiet.Kinds()
    yield lambda: stream.getvalue().splitlines()
    logs.logger.handlers, logs.logger.propagate = before[0], before[2]
    logs.logger.setLevel(before[1])


def ended(kind: Kind, event: Event, retries_left: int = 0, began: float | None = 99.0, **texts: Any) -> None:
    verdict = Verdict(event, retries_left, 105.0)
    finish = Finish(TASK, TASK.attempt, verdict, Outcome(kind, **texts), began, 100.0)
    logs.write("task_ended", {"finish": finish, "seconds": 0.01349})


def test_a_line_has_its_time_the_daemon_the_level_and_the_task(lines: Lines) -> None:
    ended(Kind.SUCCESS, Event.SUCCEED)
    [line] = lines()
    pattern = (
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ztaskd INFO "
        rf"task {ID} shop\.tasks\.install succeeded in 0\.013 s \(attempt 3\)"
    )
    assert re.fullmatch(pattern, line)


def said(lines: Lines) -> tuple[str, str]:
    """Level and text of the only line."""
    [line] = lines()
    _, _, _, level, text = line.split(" ", 4)
    return level, text


def test_a_failure_says_what_happens_next(lines: Lines) -> None:
    ended(Kind.FAILURE, Event.RETRY, 1, exception="ValueError: no stock", traceback=TRACEBACK)
    level, text = said(lines)
    assert level == "WARNING"
    assert text.startswith(f"task {ID} {NAME} failed in 0.013 s (attempt 3): ValueError: no stock")
    assert " at /srv/shop/net.py:7" in text
    assert text.endswith("; will be retried in 5 s (2 left)")


def test_the_last_failure_says_what_to_do_and_shows_the_traceback(lines: Lines) -> None:
    ended(Kind.FAILURE, Event.FAIL, exception="ValueError: no stock", traceback=TRACEBACK)
    first, *rest = lines()
    assert " ERROR task " in first
    assert first.endswith(
        "ValueError: no stock; no retries left: FAILED. Run it again with `ztaskd --replayfailed`"
    )
    assert rest == TRACEBACK.splitlines()


def test_a_refused_row_is_not_said_to_be_out_of_retries(lines: Lines) -> None:
    ended(Kind.REFUSED, Event.FAIL, 2, exception="MacError: forged")
    level, text = said(lines)
    assert level == "ERROR"
    assert "forged; it is not to be run: FAILED" in text
    assert "retries" not in text


def test_refusals_of_one_reason_are_one_line_a_second_with_their_count(
    lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = 1000.0
    monkeypatch.setattr(quiet.time, "monotonic", lambda: clock)
    reason = f"MacError: the MAC of task {ID} ({NAME}) does not verify"
    for _ in range(100):
        ended(Kind.REFUSED, Event.FAIL, exception=reason)
    assert len(lines()) == 1
    ended(Kind.REFUSED, Event.FAIL, exception="its arguments are a pickle")
    ended(Kind.FAILURE, Event.FAIL, exception=reason, traceback=TRACEBACK)
    assert "a pickle" in lines()[1]
    assert "no retries left" in lines()[2]
    clock += quiet.QUIET
    ended(Kind.REFUSED, Event.FAIL, exception=reason)
    assert lines()[-1].endswith(
        "verify; it is not to be run: FAILED. Run it again with `ztaskd --replayfailed` (99 more like it)"
    )


def test_ever_new_reasons_do_not_fill_the_memory(lines: Lines) -> None:
    for n in range(3000):
        ended(Kind.REFUSED, Event.FAIL, exception=f"reason {n}")
    assert len(lines()) == 3000
    assert len(tasklines._refusals.next) < 1500


@pytest.mark.parametrize(("beside", "who"), [(False, ""), (True, " (or one that ran beside it)")])
def test_what_a_task_left_changed_is_one_line_with_its_name(beside: bool, who: str, lines: Lines) -> None:
    changes = ["changed the umask to 077", "left a timer running"]
    for _ in range(5):
        logs.write("surroundings_changed", {"task": TASK, "beside": beside, "changes": changes})
    text = f"task {ID} {NAME}{who} changed the umask to 077 and left a timer running: put back"
    assert said(lines) == ("WARNING", text)


def test_an_interruption_says_that_it_costs_nothing(lines: Lines) -> None:
    ended(Kind.INTERRUPTED, Event.HAND_BACK, 2)
    level, text = said(lines)
    assert level == "WARNING"
    assert "interrupted" in text
    assert "no cost" in text


@pytest.mark.parametrize(
    ("began", "words"),
    [(None, "was cancelled before it started"), (1.0, "was cancelled after 0.013 s (attempt 3)")],
)
def test_a_cancelled_task_is_no_failure_in_the_log(began: float | None, words: str, lines: Lines) -> None:
    ended(Kind.CANCELLED, Event.CANCEL, 2, began=began)
    assert said(lines) == ("INFO", f"task {ID} {NAME} {words}")


def test_an_unknown_task_says_that_it_waits(lines: Lines) -> None:
    ended(Kind.UNKNOWN, Event.HAND_BACK, 2, exception="there is no such module")
    assert lines() == [], "each function is said once, by its own event"
    logs.write("function_unknown", {"task": TASK, "reason": "there is no such module"})
    level, text = said(lines)
    assert level == "WARNING"
    assert "unknown here: there is no such module" in text
    assert "an hour" in text


@pytest.mark.parametrize("text", ["%s %d %", "{} {0} {x}", "\\x00 \\ud800", "Zürich 東京"])
def test_no_text_of_a_task_disturbs_its_line(text: str, lines: Lines) -> None:
    ended(Kind.FAILURE, Event.RETRY, 1, exception=text, traceback=text)
    logs.write("note", {"text": text})
    logs.write("message_refused", {"error": ValueError(text)})
    assert len(lines()) == 3
    assert all(text in line for line in lines())


def test_arguments_are_logged_at_debug_only(lines: Lines) -> None:
    logs.write("task_started", {"task": TASK})
    ended(Kind.SUCCESS, Event.SUCCEED)
    ended(Kind.FAILURE, Event.RETRY, exception="ValueError: x", traceback=TRACEBACK)
    ended(Kind.FAILURE, Event.FAIL, exception="ValueError: x", traceback=TRACEBACK)
    assert not any("secret" in line for line in lines())
    logs.logger.setLevel(logging.DEBUG)
    logs.write("task_started", {"task": TASK})
    assert '["secret"] {"b":2}' in lines()[-1]
    assert " DEBUG task " in lines()[-1]


def test_a_pickle_is_not_shown_even_at_debug(lines: Lines) -> None:
    logs.logger.setLevel(logging.DEBUG)
    task = Claimed(ID, NAME, Payload("pickle", "gASVsecret", ""), "", "", 100.0, 0, 2, 3, 0, 0, {})
    logs.write("task_started", {"task": task})
    assert not any("gASV" in line for line in lines())


@pytest.mark.parametrize(
    ("event", "fields", "level", "words"),
    [
        ("task_fenced", {"task": TASK}, "WARNING", f"task {ID} {NAME}"),
        ("task_failed_unknown", {"id": ID, "function": NAME}, "ERROR", f"task {ID} {NAME} FAILED"),
        ("task_swallowed_interrupt", {"task": TASK}, "ERROR", "although it was interrupted: handed back"),
        ("task_swallowed_interrupt", {"task": TASK, "cancelled": True}, "ERROR", "does not run again"),
        ("task_cancelled", {"id": ID, "function": NAME}, "INFO", f"^task {ID} {NAME} was cancelled: "),
        ("row_refused", {"task_id": ID, "error": ValueError("bad row")}, "ERROR", "bad row"),
        ("journal_unavailable", {"error": ValueError("disk full")}, "ERROR", "degraded.*disk full"),
        ("journal_back", {}, "INFO", "works again"),
        ("note", {"text": "hello"}, "INFO", "^hello$"),
        ("warning", {"text": "careful"}, "WARNING", "^careful$"),
    ],
)
def test_the_other_lines(event: str, fields: dict[str, Any], level: str, words: str, lines: Lines) -> None:
    logs.write(event, fields)
    assert said(lines)[0] == level
    assert re.search(words, said(lines)[1])


@pytest.mark.parametrize(("mended", "words"), [(True, "starting it again"), (False, "the node stops")])
def test_the_death_of_a_service_says_what_is_done_about_it(mended: bool, words: str, lines: Lines) -> None:
    logs.write("service_died", {"name": "intake", "error": ValueError("odd"), "mended": mended})
    assert " ERROR service intake died" in lines()[0]
    assert words in lines()[0]
    assert lines()[-1] == "ValueError: odd"


def test_the_same_trouble_is_one_line_a_second_and_says_how_often_it_came(
    lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = 1000.0
    monkeypatch.setattr(quiet.time, "monotonic", lambda: clock)
    for n in range(5):
        logs.write("message_refused", {"error": ValueError(f"bad {n}")})
    assert len(lines()) == 1
    clock += quiet.QUIET
    logs.write("message_refused", {"error": ValueError("bad again")})
    assert len(lines()) == 2
    assert lines()[1].endswith("bad again (4 more like it)")
    clock += quiet.QUIET
    logs.write("message_refused", {"error": ValueError("once")})
    assert lines()[2].endswith("once")


def test_an_event_without_a_line_is_no_error(lines: Lines) -> None:
    logs.write("nobody_words_this", {"a": 1})
    assert lines() == []
