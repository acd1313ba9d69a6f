"""What commands understand and how they write: times, rates, tables, bars."""

from __future__ import annotations

import argparse
import shlex
import time
from typing import Any

import pytest

from ztaskd.cli import build_parser, parse
from ztaskd.commands import pacing, printing, progress, selection


def test_a_time_is_an_age_or_a_date() -> None:
    assert selection.when("2h").epoch == pytest.approx(time.time() - 7200, abs=5)
    assert selection.when("2026-05-01T10:00+02:00").epoch == 1777622400.0
    local = selection.when("2026-05-01 14:30")
    assert selection._epoch(local) == time.mktime((2026, 5, 1, 14, 30, 0, 0, 0, -1))


@pytest.mark.parametrize("text", ["soon", "-1h", "2026-13-01", "", "1 day", "99999999999w"])
def test_what_is_no_time_is_refused_with_what_would_be_one(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="write an age"):
        selection.when(text)


def test_words_are_what_would_be_typed_again() -> None:
    typed = ["replay", "--id", "0198", "--function", "*.a b", "--since", "2h", "--limit", "5", "--queue", "q"]
    options = parse([*typed, "--rate", "5/s", "--serial"])
    words = selection.words(options)
    assert words == "--function '*.a b' --since 2h --queue q --limit 5 --id 0198"
    assert selection.words(parse(["replay", *shlex.split(words)])) == words


@pytest.mark.parametrize(
    ("text", "rate"), [("50/s", 50.0), ("50", 50.0), ("30/m", 0.5), ("3600/h", 1.0), ("0.5/s", 0.5)]
)
def test_rates(text: str, rate: float) -> None:
    assert pacing.rate(text) == pytest.approx(rate)


@pytest.mark.parametrize("text", ["0/s", "-1/s", "fast", "5/d", "inf", "nan/s", "5/"])
def test_what_is_no_rate(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        pacing.rate(text)


@pytest.mark.parametrize("rate", [0.5, 3.0, 20.0, 50.0, 1000.0, 7777.0])
def test_a_pace_is_kept_over_time_and_never_exceeded(rate: float) -> None:
    clock = [100.0]
    pace = pacing.Pace(rate, clock=lambda: clock[0])
    done = 0
    while clock[0] < 130:
        clock[0] += pace.wait()
        done += pace.number()
        assert done <= (clock[0] - 100) * rate + max(1, rate * pacing.TICK) + 1
        clock[0] += 0.001
    assert done == pytest.approx(30 * rate, rel=0.05, abs=2)


def test_what_was_kept_back_is_not_made_good_by_a_burst() -> None:
    clock = [0.0]
    pace = pacing.Pace(100.0, clock=lambda: clock[0])
    clock[0] = 60.0  # a database that was away for a minute
    burst = 0
    while not pace.wait():
        burst += pace.number()
    assert burst <= 12


def test_without_a_rate_there_is_no_wait() -> None:
    pace = pacing.Pace(None)
    assert (pace.wait(), pace.number()) == (0.0, pacing.BATCH)


def test_ages() -> None:
    ages = [printing.age(s) for s in (0.04, 9.9, 59, 60, 3599, 7200, 86400 * 2, 86400 * 30)]
    assert ages == ["0.0s", "9.9s", "59s", "1m", "60m", "2h", "2d", "4w"]


def test_control_characters_never_reach_the_terminal() -> None:
    assert printing.clean("a\x1b[2Jb\x07\x9b\r\n") == r"a\x1b[2Jb\x07\x9b\r\n"
    assert printing.clean("one\n\ttwo\x1b", lines=True) == "one\n\ttwo\\x1b"
    assert printing.clean("\ud800") == r"\ud800"
    assert printing.clean("Grüße, 東京") == "Grüße, 東京"


def test_a_table_fits_its_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    head = ["ID", "FUNCTION", "TRIES", "EXCEPTION"]
    rows = [
        ["1" * 18, "shop.tasks.a_rather_long_name", "12", "ValueError: " + "x" * 200],
        ["2", "東京.f", "1", ""],
    ]
    for columns in (60, 80, 120, 300):
        monkeypatch.setattr(printing, "width", lambda size=columns: size)
        lines = printing.table(head, rows, right="TRIES", left_cut=1).splitlines()
        assert max(printing.columns(line) for line in lines) <= columns
        assert lines[1].startswith("1" * 18)
        assert "long_name" in lines[1]
        starts = {line[: line.index(mark)] for line, mark in zip(lines[1:], ("12", " 1"), strict=True)}
        assert len({printing.columns(start) // 4 for start in starts}) <= 2


def test_a_module_is_left_out_where_there_is_no_room() -> None:
    assert (
        printing.without_module("httpx.exc.ConnectError: no route to a.b.c")
        == "ConnectError: no route to a.b.c"
    )
    assert printing.without_module("ValueError: x.y") == "ValueError: x.y"
    assert printing.without_module("shop.Gone") == "Gone"
    assert printing.without_module("it ended. By itself") == "it ended. By itself"


def test_the_picture_of_a_bar() -> None:
    assert progress.picture(250, 1000, 50.0, 20) == "[#####...............]  25%  250/1,000  50/s  15s left"
    assert progress.picture(10, 10, 0.5, 4, "note") == "[####] 100%  10/10  0.5/s  note"
    assert progress.picture(0, 10, 0.0, 4).startswith("[....]   0%")


def test_beside_a_terminal_a_line_now_and_then(capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    bar = progress.Progress(100, "deleted")
    for seconds in range(25):
        clock[0] = float(seconds)
        bar.show(seconds)
    bar.end()
    assert capsys.readouterr().err == "10 of 100 deleted\n20 of 100 deleted\n"


COMMANDS = ["list", "show", "explain", "replay", "cancel", "purge", "prune"]


def test_every_command_has_a_help_with_examples(capsys: pytest.CaptureFixture[str]) -> None:
    for command in COMMANDS:
        with pytest.raises(SystemExit) as ended:
            parse([command, "--help"])
        assert ended.value.code == 0
        text = capsys.readouterr().out
        if command != "prune":
            assert f"ztaskd {command} " in text.partition("examples:")[2]
            assert "exit codes:" in text
    assert all(f"ztaskd {command} " in (build_parser().epilog or "") for command in COMMANDS)


@pytest.mark.parametrize(
    "arguments",
    [
        ["replay", "--rate", "0"],
        ["replay", "--limit", "0"],
        ["replay", "--since", "yesterday"],
        ["list", "--status", "DONE"],
        ["list", "--function", "[z-a]"],
        ["show"],
        ["explain"],
        ["purge", "--status", "RUNNING"],
        ["replay", "--replayfailed"],
    ],
)
def test_wrong_usage_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(arguments)
    assert ended.value.code == 2
    assert "usage:" in capsys.readouterr().err
