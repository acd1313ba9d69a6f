"""What is no change of code, though it happens in the project: none of it is reported."""

from __future__ import annotations

import compileall
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.reload.conftest import Watch
from tests.reload.watched import Watched, as_somebody


def touch(project: Path) -> None:
    (project / "shop" / "views.py").touch()
    os.utime(project / "shop" / "models.py", (0, 0))


def change_permissions(project: Path) -> None:
    (project / "shop" / "views.py").chmod(0o755)
    (project / "shop").chmod(0o700)


def write_the_same(project: Path) -> None:
    views = project / "shop" / "views.py"
    views.write_bytes(views.read_bytes())
    new = project / "new"
    new.write_bytes(views.read_bytes())
    new.rename(views)


def read(project: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    code = "import shop.views, shop.models; assert shop.views.answer == 41"
    subprocess.run([sys.executable, "-c", code], cwd=project, env=environment, check=True)
    assert list((project / "shop" / "__pycache__").iterdir())
    with open(project / "shop" / "views.py", "r+"):
        pass  # opened for writing, and not written


def compile_all(project: Path) -> None:
    assert compileall.compile_dir(project, quiet=1)


def edit(project: Path) -> None:
    for name in (
        ".views.py.swp",
        "views.py~",
        "4913",
        "#views.py#",
        "sedJf81xy",
        "views.py.bak",
        ".views.py.kate-swp",
    ):
        (project / "shop" / name).write_text("answer = 42\n")
    for name in ("flycheck_views.py", "views_flymake.py", ".views.py"):
        (project / "shop" / name).write_text("answer = 42\n")
    (project / "shop" / ".#views.py").symlink_to("somebody@host.4711:1700000000")  # Emacs' lock
    (project / "shop" / "4913").unlink()
    (project / "shop" / "views.py~").rename(project / "shop" / "views.old")


def use_git(project: Path) -> None:
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com"]
    for args in (["init"], ["add", "."], ["commit", "-m", "first"], ["gc"]):
        subprocess.run([*git, *args], cwd=project, check=True, capture_output=True)


def make_an_environment(project: Path) -> None:
    for name in (".venv", "env"):
        packages = project / name / "lib" / "python3" / "site-packages" / "package"
        packages.mkdir(parents=True)
        (packages.parents[3] / "pyvenv.cfg").write_text("home = /usr/bin\n")
        (packages / "module.py").write_text("1")
        (packages.parents[3] / "activate_this.py").write_text("1")


def build(project: Path) -> None:
    (project / "pyproject.toml").touch()
    for folder in ("build/lib/shop", "dist", "shop.egg-info", "node_modules/gyp", ".tox/py311"):
        (project / folder).mkdir(parents=True)
        (project / folder / "module.py").write_text("1")


def write_data(project: Path) -> None:
    (project / "site.log").write_text("line\n")
    (project / "shop" / "page.html").write_text("<h1>")
    (project / "media").mkdir()
    (project / "media" / "upload.jpg").write_text("...")
    os.mkfifo(project / "shop" / "pipe.py")
    (project / "shop" / "folder.py").mkdir()


NOISE = [
    *(touch, change_permissions, write_the_same, read, compile_all),
    *(edit, use_git, make_an_environment, build, write_data),
]


@pytest.mark.parametrize("make", NOISE, ids=lambda make: make.__name__)
def test_it_is_not_reported(make: Callable[[Path], None], project: Path, watched: Watched) -> None:
    make(project)
    watched.expect_only(project / "manage.py")
    assert watched.warnings() == []


def test_a_package_named_build_is_code(project: Path, watched: Watched) -> None:
    (project / "pyproject.toml").touch()
    (project / "build").mkdir()
    (project / "build" / "__init__.py").write_text("1")
    watched.expect("project/build/__init__.py")


@pytest.mark.parametrize("how", ["events"])
def test_what_may_not_be_read_is_said_and_left_as_it_was(
    project: Path, watched: Watched, tmp_path: Path
) -> None:
    name = "test_what_may_not_be_read_is_said_and_left_as_it_was"
    if as_somebody(f"test_noise.py::{name}", tmp_path):
        return
    folder, file = project / "shop", project / "secret.py"
    file.write_text("1")
    watched.expect("project/secret.py")
    file.chmod(0)
    watched.expect_only(project / "manage.py")
    for mode in (0o000, 0o600):
        folder.chmod(mode)
        watched.expect_only(project / "manage.py")
    folder.chmod(0o700)
    assert [line for line in watched.warnings() if f"cannot read {folder}" in line]
    (folder / "views.py").write_text("answer = 42\n")
    watched.expect("project/shop/views.py")


def test_a_project_that_may_not_be_written_to_is_watched(project: Path, tmp_path: Path, watch: Watch) -> None:
    name = "test_a_project_that_may_not_be_written_to_is_watched"
    if as_somebody(f"test_noise.py::{name}", tmp_path):
        return
    project.chmod(0o500)
    try:
        watched = watch()
        assert watched.warnings() == []
        watched.expect_only(project / "shop" / "views.py")
    finally:
        project.chmod(0o700)
