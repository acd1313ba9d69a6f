"""Names and functions: a function is found by its name, or it is said why not."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from django_ztask import registry
from django_ztask.decorators import task
from django_ztask.errors import NotImportable, UnknownTask

HEAD = "from django_ztask.decorators import task\n"
WORK = HEAD + "@task()\ndef work(): return 'worked'\n"
Write = Callable[[str, str], None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, functions: dict[str, Any]) -> Iterator[Write]:
    """Makes modules that this test alone can import."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)

    def write(name: str, text: str) -> None:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        importlib.invalidate_caches()

    yield write
    for name in set(sys.modules) - before:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


def test_a_module_is_imported_when_its_task_is_first_asked_for(write: Write) -> None:
    write("boutique/__init__.py", "")
    write("boutique/jobs.py", WORK)
    assert "boutique" not in sys.modules
    assert registry.find("boutique.jobs.work")() == "worked"
    assert "boutique.jobs" in sys.modules


def test_a_task_function_in_a_class_is_found_through_its_module(write: Write) -> None:
    write("boutique.py", HEAD + "class Jobs:\n    @task()\n    def work(): return 'in class'\n")
    assert registry.find("boutique.Jobs.work")() == "in class"


def test_a_task_of_another_name_is_found_once_its_module_was_imported(write: Write) -> None:
    write("boutique.py", HEAD + "@task(name='boutique.renamed')\ndef work(): return 'renamed'\n")
    assert registry.find("boutique.renamed")() == "renamed"


def test_a_task_that_the_package_itself_imports_is_found(write: Write) -> None:
    write("boutique/__init__.py", HEAD + "from boutique import jobs\n")
    write("boutique/jobs.py", WORK)
    assert registry.find("boutique.jobs.work")() == "worked"


@pytest.mark.parametrize(
    "name",
    ["boutique.work", "boutique.jobs.work", "nodots", "", ".", "..", ".boutique", "a..b", "a b.c", "a\0b.c"],
)
def test_a_module_that_is_not_there_is_an_unknown_task(name: str, write: Write) -> None:
    with pytest.raises(UnknownTask) as caught:
        registry.find(name)
    assert str(caught.value).startswith(name)


def test_a_module_without_a_task_of_that_name_says_so(write: Write) -> None:
    write("boutique.py", "def work(): pass\n")
    for name in ("boutique.work", "boutique.missing", "boutique.work.deeper"):
        with pytest.raises(UnknownTask, match=r"boutique has no @task\(\) of that name"):
            registry.find(name)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import not_installed_here", "not_installed_here"),
        ("1/0", "ZeroDivisionError"),
        ("def broken(:", "SyntaxError"),
        ("raise ImportError('half a deploy')", "half a deploy"),
        ("raise SystemExit(3)", "SystemExit"),
    ],
)
def test_a_module_that_cannot_be_imported_is_an_unknown_task_with_the_reason(
    text: str, words: str, write: Write
) -> None:
    write("boutique.py", text)
    with pytest.raises(UnknownTask, match=rf"boutique\.work: importing boutique failed.*{words}") as caught:
        registry.find("boutique.work")
    assert caught.value.__cause__ is not None


def test_a_module_that_was_mended_is_found_at_the_next_try(write: Write) -> None:
    write("boutique.py", "1/0\n")
    with pytest.raises(UnknownTask):
        registry.find("boutique.work")
    write("boutique.py", WORK + "# longer, so that no cached bytecode fits\n")
    assert registry.find("boutique.work")() == "worked"


def test_only_what_was_decorated_is_found_whatever_the_name_says(functions: dict[str, Any]) -> None:
    for name in ("os.system", "builtins.eval", "subprocess.Popen", "shutil.rmtree"):
        with pytest.raises(UnknownTask, match="has no @task"):
            registry.find(name)


def test_a_registered_function_needs_no_import(functions: dict[str, Any]) -> None:
    def somewhere() -> str:
        return "here"

    task(name="nowhere.at.all")(somewhere)
    assert registry.find("nowhere.at.all")() == "here"


def test_local_functions_and_lambdas_run_here_but_are_refused_when_enqueued(
    functions: dict[str, Any],
) -> None:
    @task()
    def local(a: int) -> int:
        return a + 1

    hint = "Move it to the top of a module"
    for made in (local, task(lambda a: a + 1)):
        assert made(1) == 2
        with pytest.raises(NotImportable, match=hint):
            made.async_(1)
        with pytest.raises(NotImportable, match=hint):
            made.after(1, 1)
        with pytest.raises(NotImportable, match=hint):
            made.map([1])


def test_a_local_function_with_a_name_of_its_own_may_be_enqueued(functions: dict[str, Any]) -> None:
    @task(name="tests.local")
    def local() -> None: ...

    local.ensure_importable()


def test_functions_of_modules_are_known_by_module_and_name() -> None:
    assert registry.importable_name(test_a_registered_function_needs_no_import) == (
        f"{__name__}.test_a_registered_function_needs_no_import"
    )
