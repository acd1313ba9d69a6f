"""A child gives way once, and asks again where the system lets few ask at a time."""

from __future__ import annotations

import os

import pytest

from ztaskd.workers import turns


class Session:
    """Linux's file, which is busy so many times, and then takes what is written or refuses it."""

    def __init__(self, busy: int, error: OSError | None = None) -> None:
        self.busy = busy
        self.error = error
        self.written: list[str] = []

    def write_text(self, text: str) -> None:
        if self.busy:
            self.busy -= 1
            raise BlockingIOError
        self.written.append(text)
        if self.error is not None:
            raise self.error


@pytest.fixture
def nice(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often this process was made nicer (which it is not: there is no way back)."""
    found: list[int] = []
    monkeypatch.setattr(os, "nice", found.append)
    monkeypatch.setattr(turns, "SCHED_SETATTR", {})
    monkeypatch.setattr(turns, "_own", False)
    monkeypatch.setattr(turns, "_sessions", False)
    return found


@pytest.mark.parametrize("error", [None, FileNotFoundError(), PermissionError()])
@pytest.mark.parametrize("busy", [0, 1, 3])
def test_it_is_done_once_however_often_the_system_is_busy_first(
    nice: list[int], monkeypatch: pytest.MonkeyPatch, busy: int, error: OSError | None
) -> None:
    session = Session(busy, error)
    monkeypatch.setattr(turns, "SESSION", session)
    for _ in range(6):
        turns.give_way(7)
    assert nice == [7]
    assert session.written == ["7"]


@pytest.mark.parametrize(("asked", "done"), [(0, []), (1, [1]), (19, [19]), (20, [19]), (10**9, [19])])
def test_it_is_as_nice_as_it_is_told_and_no_nicer_than_there_is(
    nice: list[int], monkeypatch: pytest.MonkeyPatch, asked: int, done: list[int]
) -> None:
    session = Session(0)
    monkeypatch.setattr(turns, "SESSION", session)
    turns.give_way(asked)
    assert (nice, session.written) == (done, [str(number) for number in done])
