"""The walls of the house: who imports whom, how large a room may be, and that each door says what is behind it."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("django_ztask", "ztaskd")
FILE_LINES, FUNCTION_LINES = 250, 40

Function = ast.FunctionDef | ast.AsyncFunctionDef


def sources(*folders: str) -> list[Path]:
    """Their Python files, without migrations (which keep what Django wrote)."""
    found = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return sorted(path for path in found if "migrations" not in path.parts)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


ALL = sources(*PACKAGES, "tests", "examples")

IMPORT_ALL = """
import importlib, os, pkgutil, sys
import django
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.project.settings"
django.setup()
import django_ztask
for module in pkgutil.walk_packages(django_ztask.__path__, "django_ztask."):
    importlib.import_module(module.name)
loaded = {name for name in sys.modules if name.split(".")[0] in ("gevent", "greenlet", "ztaskd") or name == "zmq.green"}
print(len([name for name in sys.modules if name.startswith("django_ztask.")]), *sorted(loaded))
"""


def test_django_ztask_loads_neither_gevent_nor_green_sockets_nor_the_daemon() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    modules, *loaded = done.stdout.split()
    assert int(modules) >= len([path for path in sources("django_ztask") if path.name != "__init__.py"])
    assert loaded == []


def test_decorating_a_function_loads_no_model_and_needs_no_settings() -> None:
    code = (
        "import sys; from django_ztask import task; task(lambda: None); "
        "print('django_ztask.models' in sys.modules, 'DJANGO_SETTINGS_MODULE' in __import__('os').environ)"
    )
    env = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("False False\n", "")


def test_the_reloader_loads_neither_gevent_nor_django_nor_zmq() -> None:
    code = (
        "import sys, ztaskd.__main__, ztaskd.reload.parent; "
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'gevent', 'django', 'zmq', 'django_ztask'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_a_daemon_without_reloader_does_without_what_it_does_not_need(tmp_path: Path) -> None:
    """(50 ms and several MiB: plugins of gevent's are looked for with importlib.metadata, the commands are not its own.)"""
    code = (
        "import sys; from ztaskd import cli, patching; cli.parse(['--noreload', '-l', 'INFO']); patching.patch(); "
        "import django; django.setup(); import ztaskd.boot, ztaskd.node; from django.core import checks; "
        "checks.run_checks(tags=['ztaskd']); "
        "print(sorted({'importlib.metadata', 'ctypes', 'ztaskd.commands', 'ztaskd.reload.folders'} & {*sys.modules}))"
    )
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.project.settings"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_a_plugin_of_gevents_still_hears_of_patching(tmp_path: Path) -> None:
    """As those of tracers do."""
    (tmp_path / "listener.py").write_text("def heard(event):\n    print('heard')\n")
    (tmp_path / "listener-1.0.dist-info").mkdir()
    (tmp_path / "listener-1.0.dist-info/METADATA").write_text(
        "Metadata-Version: 2.1\nName: listener\nVersion: 1.0\n"
    )
    (tmp_path / "listener-1.0.dist-info/entry_points.txt").write_text(
        "[gevent.plugins.monkey.did_patch_all]\nlistener = listener:heard\n"
    )
    code = "from ztaskd import patching; patching.patch()"
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("heard\n", "")


@pytest.mark.parametrize("path", ALL, ids=name)
def test_no_file_is_longer_than_one_can_oversee(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= FILE_LINES


@pytest.mark.parametrize("path", ALL, ids=name)
def test_no_function_is_longer_than_a_screen(path: Path) -> None:
    long = {
        function.name: lines for function in functions(path) if (lines := length(function)) > FUNCTION_LINES
    }
    assert long == {}


def functions(path: Path) -> Iterator[Function]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, Function):
            yield node


def length(function: Function) -> int:
    """Lines from `def` to its end; the docstring does not count."""
    assert function.end_lineno is not None
    lines = function.end_lineno - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function, clean=False) is not None and first.end_lineno is not None:
        lines -= first.end_lineno - first.lineno + 1
    return lines


@pytest.mark.parametrize("path", sources(*PACKAGES), ids=name)
def test_each_file_opens_by_saying_what_lives_there(path: Path) -> None:
    text = path.read_text()
    if text:
        opening = ast.get_docstring(ast.parse(text), clean=False)
        assert opening is not None
        assert opening.strip()
        assert text.lstrip().startswith('"""')


def committed() -> list[Path]:
    """Every file that is, or is about to be, under version control."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True, timeout=60)
    except (OSError, subprocess.CalledProcessError):
        return []
    return [ROOT / line for line in listed.stdout.split("\0") if line and (ROOT / line).is_file()]


def test_no_file_knows_a_folder_of_the_machine_it_was_written_on() -> None:
    machine = re.compile(rb"(?<![\w.])/(?:work|root)/")  # (a path inside the project is fine)
    files = committed()
    if not files:
        pytest.skip("not a git checkout")
    guilty = {name(path) for path in files if machine.search(path.read_bytes())}
    assert guilty == set()
