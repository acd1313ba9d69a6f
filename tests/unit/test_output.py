"""Standard output of the daemon: a reader that stands still costs text, and nothing else."""

from __future__ import annotations

import os

import pytest

from ztaskd import output


def test_a_reader_that_stands_still_costs_text_not_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "PATIENCE", 1)
    reader, writer = os.pipe()
    try:
        stdout = output.Output(writer)
        for _ in range(100):
            assert stdout.write("x" * 10_000) == 10_000
        assert 0 < len(os.read(reader, 10_000_000)) < 1_000_000
        stdout.write("there again\n")
        assert os.read(reader, 1_000_000).endswith(b"there again\n")
    finally:
        os.close(reader)
        os.close(writer)


def test_bytes_may_be_written_too() -> None:
    reader, writer = os.pipe()
    try:
        stdout = output.Output(writer)
        assert stdout.buffer.write(b"raw \xff") == 5
        print("text", file=stdout)
        assert os.read(reader, 100) == b"raw \xfftext\n"
    finally:
        os.close(reader)
        os.close(writer)
