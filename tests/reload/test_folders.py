"""Which folders are watched for a sys.path and a set of loaded modules."""

from __future__ import annotations

import logging
import os
import site
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from ztaskd.reload import folders
from ztaskd.reload.folders import Code, folders_of_project


class Asked:
    def __init__(self, base: Path) -> None:
        self.base = base
        self.lines: list[str] = []

    def __call__(self, *path: str | Path, modules: tuple[Path, ...] = ()) -> Code:
        return folders_of_project(map(str, path), map(str, modules), self.base, self.say)

    def say(self, level: int, line: str) -> None:
        assert level == logging.WARNING
        self.lines.append(line)


def package(folder: Path) -> Path:
    """A module in a package there."""
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "module.py").touch()
    return folder / "module.py"


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    package(tmp_path / "site" / "shop")
    return Asked(tmp_path / "site")


def test_the_projects_folder_and_what_is_on_the_path(asked: Asked, tmp_path: Path) -> None:
    library = tmp_path / "library" / "src"
    package(library / "lib")
    found = asked(
        "", library, str(library) + "/", library / "lib", "shop", tmp_path / "no", tmp_path / "python.zip"
    )
    assert set(found.folders) == {asked.base, library}
    assert (found.files, asked.lines) == ((), [])


def test_not_what_is_pythons_or_installed(asked: Asked, tmp_path: Path) -> None:
    installed = tmp_path / "somewhere" / "lib" / "python3.12" / "site-packages"
    module = package(installed / "package")
    path = [*sys.path, installed, *site.getsitepackages(), sysconfig.get_path("scripts")]
    standard = [Path(os.__file__), Path(logging.__file__), Path(pytest.__file__), module]
    found = folders_of_project(
        [str(entry) for entry in path if "site-packages" in str(entry) or "lib/python" in str(entry)],
        map(str, standard),
        asked.base,
        asked.say,
    )
    assert found == Code((asked.base,), ())


def test_packages_that_are_imported_from_elsewhere(asked: Asked, tmp_path: Path) -> None:
    """Editable installs are found by an import hook: nothing of them is on the path."""
    editable = package(tmp_path / "checkout" / "lib" / "inner")
    (editable.parents[1] / "__init__.py").touch()
    single = tmp_path / "single.py"
    single.touch()
    hidden = package(asked.base / ".hidden" / "plugin")
    own = asked.base / "shop" / "module.py"
    found = asked(modules=(editable, single, hidden, own, tmp_path / "gone.py", tmp_path / "binary.so"))
    assert set(found.folders) == {asked.base, editable.parents[1], hidden.parent}
    assert found.files == (single,)


def test_a_checkout_inside_a_virtualenv_is_code_and_the_rest_of_it_is_not(
    asked: Asked, tmp_path: Path
) -> None:
    environment = asked.base / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    checkout = environment / "src" / "library"
    package(checkout / "lib")
    packages = next(environment.glob("lib/python*/site-packages"))
    found = asked(environment, packages, checkout)
    assert set(found.folders) == {asked.base, checkout}
    assert not any(str(line).endswith("in use") for line in found.files)


def test_of_a_home_folder_only_the_packages_in_use(
    asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    used, _ = package(home / "used"), package(home / "other")
    script = home / "script.py"
    script.touch()
    monkeypatch.setenv("HOME", str(home))
    assert set(asked(home, modules=(used, script)).folders) == {asked.base, used.parent}
    assert asked(home, modules=(used, script)).files == (script,)
    assert f"not watching all of {home} for changes of code: it is a home folder" in asked.lines[0]
    (home / "manage.py").touch()  # as in many containers
    asked.lines.clear()
    assert home in asked(home).folders
    assert asked.lines == []


def test_of_a_system_folder_a_virtualenv_or_a_huge_one_only_the_packages_in_use(
    asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "HUGE", 20)
    huge, environment = tmp_path / "huge", tmp_path / "environment"
    for number in range(30):
        (huge / f"folder{number}").mkdir(parents=True)
        (asked.base / "node_modules" / f"folder{number}").mkdir(parents=True)
    environment.mkdir()
    (environment / "pyvenv.cfg").touch()
    assert asked("/", huge, environment).folders == (asked.base,)
    assert [line.split(": ")[1].split(";")[0] for line in asked.lines] == [
        "it is a folder of the system",
        *sorted(["there are more than 20 folders in it", "it is a virtualenv"], reverse=True),
    ]


def test_a_folder_inside_another_is_named_once_unless_nobody_comes_along_there(asked: Asked) -> None:
    inner, hidden = asked.base / "shop", asked.base / ".parts"
    hidden.mkdir()
    link = asked.base.parent / "link"
    link.symlink_to(asked.base)
    assert asked(inner, hidden, link, link / "shop").folders in ((asked.base, hidden), (link, hidden))
