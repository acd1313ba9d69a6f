"""A log file that was rotated: lines go to the new one, or on to the old one while there is none."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ztaskd.reopening import Reopening


class Log(Reopening):
    lost = times = 0

    def handleError(self, record: logging.LogRecord) -> None:
        self.lost += 1

    def opened(self) -> None:
        self.times += 1

    def say(self, text: str) -> None:
        self.emit(logging.LogRecord("ztaskd", logging.INFO, __file__, 1, text, None, None))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "logs").mkdir()
    return tmp_path / "logs" / "log"


@pytest.fixture
def log(path: Path) -> Iterator[Log]:
    handler = Log(str(path))
    handler.say("first")
    yield handler
    handler.close()


def test_renamed_it_goes_on_in_a_new_file_at_once_or_with_the_next_line(log: Log, path: Path) -> None:
    for ask in (True, False):
        old = path.rename(path.with_suffix(f".{ask}"))
        if ask:
            assert log.reopen()
            assert path.exists()
        log.say("next")
        assert path.read_text() == "next\n"
        assert old.read_text() in ("first\n", "next\n")
    assert (log.times, log.lost) == (2, 0)


def test_truncated_it_goes_on_at_the_beginning_asked_or_not(log: Log, path: Path) -> None:
    for ask in (False, True):
        os.truncate(path, 0)
        assert not ask or log.reopen()
        log.say("next")
        assert path.read_text() == "next\n"


def test_while_there_can_be_no_new_file_the_old_one_goes_on_and_says_why_once(log: Log, path: Path) -> None:
    old = path.rename(path.with_suffix(".1"))
    path.mkdir()  # (nothing else keeps root from writing)
    log.say("second")
    log.say("third")
    first, why, *others = old.read_text().splitlines()
    assert [first, *others] == ["first", "second", "third"]
    assert "cannot be opened anew, the old one goes on: Is a directory" in why
    assert not log.reopen()
    assert old.read_text().count("Is a directory") == 2, "who asks is answered"
    path.rmdir()
    assert log.reopen()
    log.say("fourth")
    assert path.read_text() == "fourth\n"
    assert log.lost == 0


def test_lines_go_back_to_the_file_as_soon_as_it_can_be_written_again(log: Log, path: Path) -> None:
    path.rename(path.with_suffix(".1"))
    path.mkdir()
    log.say("second")
    path.rmdir()
    log.say("third")
    assert path.read_text() == "third\n"


def test_with_its_folder_deleted_lines_are_lost_and_counted_until_there_is_one(log: Log, path: Path) -> None:
    path.unlink()
    path.parent.rmdir()
    log.say("second")
    assert not log.reopen()
    assert log.lost == 1
    path.parent.mkdir()
    log.say("third")
    assert path.read_text() == "third\n"


def test_a_file_that_was_never_there_raises(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Log(str(tmp_path / "missing" / "log"))
