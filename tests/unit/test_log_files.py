"""Where the lines go: a file that may be rotated away, a full disk, a reader that is gone."""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ztaskd import logs, output


@pytest.fixture
def standard_output(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A log file takes over descriptors 1 and 2: they are given back after the test."""
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    kept = os.dup(1), os.dup(2)
    yield
    os.dup2(kept[0], 1)
    os.dup2(kept[1], 2)
    for fd in kept:
        os.close(fd)


@pytest.fixture
def log(standard_output: None) -> Iterator[Any]:
    """Opens log files, and closes them whatever the disk says."""
    opened: list[logging.Handler] = []

    def open_log(path: Path | str) -> logging.Handler:
        handler = output.open_log(str(path))
        opened.append(handler)
        return handler

    yield open_log
    for handler in opened:
        try:
            handler.close()
        except OSError:
            pass  # the disk of this test is full


def record(text: str, level: int = logging.INFO) -> logging.LogRecord:
    return logging.LogRecord("ztaskd", level, __file__, 1, text, None, None)


def test_what_tasks_print_lands_in_the_log_file(tmp_path: Path, log: Any) -> None:
    handler = log(tmp_path / "log")
    handler.emit(record("before"))
    print("printed")
    print("to stderr \ud800", file=sys.stderr)
    os.write(1, b"by a child\n")
    handler.emit(record("after"))
    lines = (tmp_path / "log").read_text().splitlines()
    assert [line.split()[-1] for line in lines] == ["before", "printed", "\\ud800", "child", "after"]


def test_a_file_that_was_rotated_away_is_made_anew_and_printing_follows(tmp_path: Path, log: Any) -> None:
    path = tmp_path / "log"
    handler = log(path)
    handler.emit(record("old"))
    path.rename(tmp_path / "log.1")
    handler.emit(record("new"))
    print("printed")
    assert [line.split()[-1] for line in path.read_text().splitlines()] == ["new", "printed"]
    assert (tmp_path / "log.1").read_text().endswith("old\n")
    path.unlink()
    handler.emit(record("after it was deleted"))
    assert path.read_text().endswith("after it was deleted\n")


def test_a_log_is_continued_not_begun_anew(tmp_path: Path, log: Any) -> None:
    (tmp_path / "log").write_text("yesterday\n")
    log(tmp_path / "log").emit(record("today"))
    assert (tmp_path / "log").read_text().startswith("yesterday\n")


def test_a_surrogate_does_not_cost_the_line(tmp_path: Path, log: Any) -> None:
    log(tmp_path / "log").emit(record("odd \ud800 text"))
    assert "odd \\ud800 text" in (tmp_path / "log").read_text()


def test_a_full_disk_raises_nothing_and_is_counted(log: Any) -> None:
    handler = log("/dev/full")
    for n in range(3):
        handler.emit(record(f"line {n}"))
    print("printed")
    sys.stdout.flush()
    print("printed", file=sys.stderr)
    assert handler.dropped == 3


class Disk:
    """A stream that is full until it has room again."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.full = False

    def write(self, text: str) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def test_what_was_dropped_is_said_when_there_is_room_again(tmp_path: Path, log: Any) -> None:
    handler = log(tmp_path / "log")
    disk = handler.stream = Disk(handler.stream)
    disk.full = True
    for n in range(7):
        handler.emit(record(f"line {n}"))
    disk.full = False
    handler.emit(record("room again"))
    handler.emit(record("and on"))
    text = (tmp_path / "log").read_text()
    assert "room again" in text
    assert "line 3" not in text
    assert text.count(" 7 ") == 1, f"the log does not say that 7 lines are missing:\n{text}"


def test_a_file_that_cannot_be_written_is_an_error_at_the_start(
    tmp_path: Path, standard_output: None
) -> None:
    with pytest.raises(OSError, match="missing"):
        output.open_log(str(tmp_path / "missing" / "log"))


def test_a_folder_that_is_gone_later_costs_lines_not_work(tmp_path: Path, log: Any) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    handler = log(folder / "log")
    handler.emit(record("one"))
    (folder / "log").unlink()
    folder.rmdir()
    handler.emit(record("two"))
    print("printed")
    folder.mkdir()
    handler.emit(record("three"))
    assert "three" in (folder / "log").read_text()


def test_a_reader_that_is_gone_costs_lines_not_work() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        pipe = output.Output(writer)
        output.Console(pipe).emit(record("into the void"))
        assert pipe.write("text") == 4
        pipe.flush()
        assert pipe.fileno() == writer
        assert not pipe.isatty()
    finally:
        os.close(writer)


@pytest.mark.parametrize("level", [logging.DEBUG, logging.WARNING, logging.NOTSET])
def test_the_projects_own_logging_is_left_alone(level: int, monkeypatch: pytest.MonkeyPatch) -> None:
    root, ours = logging.getLogger(), logs.logger
    monkeypatch.setattr(logs.events, "_subscribers", [])
    monkeypatch.setattr(root, "level", logging.ERROR)
    for name in ("handlers", "level", "propagate"):
        monkeypatch.setattr(ours, name, getattr(ours, name))
    theirs = logging.NullHandler()
    monkeypatch.setattr(root, "handlers", [theirs])
    handler = logging.NullHandler()
    logs.configure(handler, level)
    assert (root.handlers, root.level) == ([theirs], logging.ERROR)
    assert (ours.handlers, ours.level, ours.propagate) == ([handler], level or 1, False)
    monkeypatch.setattr(root, "handlers", [])
    logs.configure(handler, level)
    assert (root.handlers, root.level) == ([handler], level or 1)
