"""scripts/fuzz without a daemon: it finds a planted bug, and its file repeats it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz.__main__ import main
from ztaskd import reader


def test_a_crasher_is_written_to_a_file_that_repeats_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    decode = reader.decode

    def planted(frames: Sequence[bytes], keys: Sequence[bytes]) -> Any:
        message = decode(frames, keys)
        if b"pong" in frames[1]:
            raise ZeroDivisionError("planted")
        return message

    monkeypatch.setattr(reader, "decode", planted)
    assert main(["--no-daemon", "--seed", "1", "--count", "2000"]) == 1
    [file] = tmp_path.iterdir()
    out, err = capsys.readouterr()
    assert out.splitlines()[-1].endswith(f"a crasher: scripts/fuzz --repro {file}")
    assert "planted" in err
    assert main(["--repro", str(file)]) == 1
    assert "planted" in capsys.readouterr().err
    monkeypatch.setattr(reader, "decode", decode)
    assert main(["--repro", str(file)]) == 0
    assert capsys.readouterr().out == "it crashes nothing\n"
