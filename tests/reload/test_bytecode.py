"""The trap that removing cached bytecode is for, and what is left alone."""

from __future__ import annotations

import compileall
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ztaskd.reload.bytecode import remove_bytecode, remove_doubtful


def answer(folder: Path, *options: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, *options, "-c", "import module; print(module.answer)"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.parametrize("options", [(), ("-O",), ("-OO",), ("-X", "pycache_prefix=cached")])
def test_an_edit_of_the_same_size_and_second_is_seen(
    tmp_path: Path, options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "module.py"
    module.write_text("answer = 41\n")
    os.utime(module, (1_700_000_000, 1_700_000_000))
    assert answer(tmp_path, *options) == "41"
    module.write_text("answer = 42\n")
    os.utime(module, (1_700_000_000, 1_700_000_000))
    assert answer(tmp_path, *options) == "41"  # the trap
    if "-X" in options:
        monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path / "cached"))
    assert remove_bytecode([module]) == []
    assert answer(tmp_path, *options) == "42"


def test_only_that_of_the_changed_files_is_removed(tmp_path: Path) -> None:
    for name in ("one", "one_more", "two", "gone"):
        (tmp_path / f"{name}.py").write_text("1")
    assert compileall.compile_dir(tmp_path, quiet=1, optimize=[0, 1, 2])
    (tmp_path / "one.pyc").write_bytes(b"no cache: somebody's program without its source")
    (tmp_path / "gone.py").unlink()
    changed = ("one.py", "gone.py", "nowhere/three.py", "rules.json", "\udcff.py")
    assert remove_bytecode(tmp_path / name for name in changed) == []
    left = {path.name.split(".")[0] for path in (tmp_path / "__pycache__").iterdir()}
    assert left == {"one_more", "two"}
    assert (tmp_path / "one.pyc").exists()


def test_what_cannot_be_removed_is_told(tmp_path: Path) -> None:
    stubborn = tmp_path / "__pycache__" / "one.cpython-311.pyc"
    stubborn.mkdir(parents=True)
    assert remove_bytecode([tmp_path / "one.py"]) == [stubborn]


def test_bytecode_as_young_as_its_source_is_doubtful_and_older_sources_keep_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    kept = {}
    for name, age in (("young_module", 0), ("old_module", 60)):
        source = tmp_path / f"{name}.py"
        source.write_text("answer = 41\n")
        os.utime(source, (source.stat().st_mtime - age,) * 2)
        kept[name] = Path(importlib.import_module(name).__spec__.cached)
        assert kept[name].exists()
    try:
        remove_doubtful()
    finally:
        for name in kept:
            del sys.modules[name]
    assert not kept["young_module"].exists()
    assert kept["old_module"].exists()
