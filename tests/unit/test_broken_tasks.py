"""What is said of a module with tasks that does not load: the project's own lines, not those of who imports it."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.test import override_settings

from ztaskd import project
from ztaskd.project import Refusal

CALL = """\
def deep():
    raise ValueError("no stock")

deep()
"""


def refusal(module: str) -> list[str]:
    """The lines of it."""
    with override_settings(ZTASKD_IMPORTS=[module]), pytest.raises(Refusal) as caught:
        project.load_tasks()
    return str(caught.value).splitlines()


def test_a_file_that_cannot_be_read_is_named_with_the_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "unreadable_tasks.py").write_text("def (\n")
    head, title, place, *_, error = refusal("unreadable_tasks")
    assert head == "a module with tasks does not load:"
    assert title == "Traceback (most recent call last):"
    assert place.split() == ["File", f'"{tmp_path}/unreadable_tasks.py",', "line", "1"]
    assert error == "SyntaxError: invalid syntax"


def test_what_a_module_raises_is_shown_from_its_own_line_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "raising_tasks.py").write_text(CALL)
    (tmp_path / "importing_tasks.py").write_text("import raising_tasks\n")
    lines = refusal("importing_tasks")
    assert [line.split('"')[1] for line in lines if line.startswith("  File") and "frozen" not in line] == [
        f"{tmp_path}/importing_tasks.py",
        f"{tmp_path}/raising_tasks.py",
        f"{tmp_path}/raising_tasks.py",
    ]
    assert lines[-1] == "ValueError: no stock"


def test_a_module_that_is_not_there() -> None:
    assert refusal("nowhere_to_be_seen")[1:] == [
        "Traceback (most recent call last):",
        "ModuleNotFoundError: No module named 'nowhere_to_be_seen'",
    ]
