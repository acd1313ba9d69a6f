"""scripts/modernize: `func.async(` becomes `func.async_(`, and nothing else changes."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.upgrade.oldsite import ROOT

SCRIPT = ROOT / "scripts" / "modernize"


def load():
    cached, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    loader = SourceFileLoader("modernize", str(SCRIPT))
    module = module_from_spec(spec_from_loader("modernize", loader))
    loader.exec_module(module)
    sys.dont_write_bytecode = cached
    return module


modernize = load()

CHANGED = [
    ("send.async(1)", "send.async_(1)"),
    ("send . async (1)", "send . async_ (1)"),
    ("send.\\\n  async \\\n (1)", "send.\\\n  async_ \\\n (1)"),
    ("(send\n  # why\n  .async\n  # .async(\n  (1))", "(send\n  # why\n  .async_\n  # .async(\n  (1))"),
    ("a.async(b.async(1), c.async(2))", "a.async_(b.async_(1), c.async_(2))"),
    ("get()['x'].async(1).async(2)", "get()['x'].async_(1).async_(2)"),
    ("'''text'''.async(1)", "'''text'''.async_(1)"),
    ('"it\'s # no".async(1)', '"it\'s # no".async_(1)'),
    ("print 'a', `send.async(0777)` <> u'\xe9'", "print 'a', `send.async_(0777)` <> u'\xe9'"),
    ("exec 'x' in send.async(1L)", "exec 'x' in send.async_(1L)"),
    ("r'\\'.async(' + send.async('\\\\')", "r'\\'.async(' + send.async_('\\\\')"),
    ("send.async('a\\\n.async(', 1)", "send.async_('a\\\n.async(', 1)"),
    ("\xe9t\xe9.async(1)", "\xe9t\xe9.async_(1)"),
    ("try: send.async(1)\nexcept E, e: raise E, e", "try: send.async_(1)\nexcept E, e: raise E, e"),
]
SAME = [
    "send.async_(1)",
    "send.asynchronous(1)",
    "send.async\xe9(1)",
    "async(1)",
    "async def f(): pass",
    "f(async=1)",
    "# send.async(1)",
    "'send.async(1)'",
    '"send.async(1)"',
    "'''\nsend.async(1)\n'' '\n'''",
    '"""\nsend.async(1) \\""" .async(1) """',
    "ur'''send.async(1)'''",
    "b'\\'send.async(1)'",
    "'a\\\nsend.async(1)'",
    "''",
    '""',
    "x = {'a': [1, (2, 3)]}",
]
LEFT = ["callback = send.async", "send.async\n(1)", "from kombu.async import x", "f'{send.async(1)}'"]


@pytest.mark.parametrize(("old", "new"), CHANGED)
def test_calls_change(old, new):
    found, ends, left = modernize.modernize(old)
    assert (found, len(ends), left) == (new, new.count("async_"), [])


@pytest.mark.parametrize("text", SAME)
def test_everything_else_stays(text):
    assert modernize.modernize(text) == (text, [], [])


@pytest.mark.parametrize("text", LEFT)
def test_what_is_no_plain_call_is_left_alone_and_told(text):
    found, ends, left = modernize.modernize(text)
    assert (found, ends, len(left)) == (text, [], 1)


@given(
    st.lists(st.sampled_from([*CHANGED, *((text, text) for text in SAME)])),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_a_file_of_such_lines(pieces, end):
    old = "".join(piece + "\n" for piece, _ in pieces).replace("\n", end)
    new = "".join(piece + "\n" for _, piece in pieces).replace("\n", end)
    assert modernize.modernize(old)[0] == new
    assert modernize.modernize(new)[0] == new


@given(st.text(alphabet="ab.async(){}[]'\"\\\n\r #f"))
def test_no_text_loses_a_byte(text):
    try:
        new, ends, _ = modernize.modernize(text)
    except modernize.Unclosed:
        return
    assert len(new) == len(text) + len(ends)
    for end in reversed(ends):
        assert text[end - 5 : end] == "async"
    assert new.replace("async_", "async") == text.replace("async_", "async")


def run(*arguments: object) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-I", str(SCRIPT), *map(str, arguments)],
        capture_output=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout.decode("latin-1"), done.stderr.decode("latin-1")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in (".git", "venv", "lib/site-packages", "shop", "old/bin"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "tasks.py").write_text("send.async(1)\n")
    (tmp_path / "venv" / "pyvenv.cfg").touch()
    (tmp_path / "old" / "bin" / "activate_this.py").touch()
    (tmp_path / "notes.txt").write_text("send.async(1)\n")
    return tmp_path


def test_diff_prints_and_changes_nothing(tree: Path):
    code, out, err = run("--diff", tree)
    path = tree / "shop" / "tasks.py"
    assert (code, err) == (1, "")
    assert out == f"--- {path}\n+++ {path}\n@@ -1 +1 @@\n-send.async(1)\n+send.async_(1)\n"
    assert path.read_text() == "send.async(1)\n"


def test_a_tree_is_changed_but_for_environments_and_repositories(tree: Path):
    code, out, err = run(tree)
    assert (code, out, err) == (0, f"{tree}/shop/tasks.py:1: async -> async_\n", "")
    changed = [
        path.parent.name for path in tree.rglob("*") if path.is_file() and "async_" in path.read_text()
    ]
    assert changed == ["shop"]
    assert run(tree) == (0, "", "")
    assert run("--diff", tree)[0] == 0


def test_bytes_line_endings_and_mode_stay(tmp_path: Path):
    path = tmp_path / "old.py"
    old = b"\xef\xbb\xbf# -*- coding: latin-1 -*-\r\nx = '\xe9\xff'\r\nsend.async(x)\rprint 'no end of line'"
    path.write_bytes(old)
    path.chmod(0o751)
    code, out, _ = run("--diff", path)
    assert code == 1
    assert out.endswith("\\ No newline at end of file\n")
    assert run(path)[0] == 0
    assert path.read_bytes() == old.replace(b"async(", b"async_(")
    assert path.stat().st_mode & 0o777 == 0o751


def test_exit_codes_for_trouble(tmp_path: Path):
    bad, good = tmp_path / "bad.py", tmp_path / "good.py"
    bad.write_text("send.async(1)\nx = 'no end\n")
    good.write_text("send.async(1)\ny = send.async\n")
    code, _, err = run(tmp_path)
    assert code == 2
    assert f"{bad}:2: a string without an end: nothing was changed" in err
    assert f"{good}:2: not a plain call" in err
    assert good.read_text() == "send.async_(1)\ny = send.async\n"
    assert bad.read_text() == "send.async(1)\nx = 'no end\n"
    assert run(good)[0] == 1
    assert run(tmp_path / "nowhere.py")[0] == 2
    assert run()[0] == 2
    assert os.access(SCRIPT, os.X_OK)
