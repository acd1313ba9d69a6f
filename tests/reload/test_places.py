"""Where code may be, go and come from: new, moved, linked and replaced folders, and files that lie apart."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.reload.conftest import Watch
from tests.reload.watched import Watched
from ztaskd.reload import laying


def test_a_file_in_folders_that_are_made_at_once(project: Path, watched: Watched) -> None:
    (project / "a" / "b" / "c").mkdir(parents=True)
    (project / "a" / "b" / "c" / "module.py").write_text("1")
    watched.expect("project/a/b/c/module.py")
    (project / "a" / "b" / "c" / "module.py").write_text("2")
    watched.expect("project/a/b/c/module.py")


def test_a_folder_that_is_removed_and_made_again(project: Path, watched: Watched) -> None:
    files = ("project/shop/__init__.py", "project/shop/models.py", "project/shop/views.py")
    shutil.rmtree(project / "shop")
    watched.expect(*files)
    (project / "shop").mkdir()
    (project / "shop" / "views.py").write_text("answer = 42\n")
    watched.expect("project/shop/views.py")
    (project / "shop" / "views.py").write_text("answer = 43\n")
    watched.expect("project/shop/views.py")


def test_a_folder_that_is_renamed(project: Path, watched: Watched) -> None:
    (project / "shop").rename(project / "store")
    names = ("__init__.py", "models.py", "views.py")
    watched.expect(*(f"project/{folder}/{name}" for folder in ("shop", "store") for name in names))
    (project / "store" / "views.py").write_text("answer = 42\n")
    watched.expect("project/store/views.py")


def test_a_folder_that_is_moved_in_and_out(project: Path, watched: Watched, tmp_path: Path) -> None:
    (tmp_path / "away" / "inner").mkdir(parents=True)
    (tmp_path / "away" / "inner" / "module.py").write_text("1")
    (tmp_path / "away").rename(project / "came")
    watched.expect("project/came/inner/module.py")
    (project / "came" / "inner" / "module.py").write_text("2")
    watched.expect("project/came/inner/module.py")
    (project / "came").rename(tmp_path / "gone")
    watched.expect("project/came/inner/module.py")
    (tmp_path / "gone" / "inner" / "module.py").write_text("3")
    watched.expect_only(project / "manage.py")


def test_the_watched_folder_itself_is_replaced(project: Path, watched: Watched, tmp_path: Path) -> None:
    shutil.copytree(project, tmp_path / "new")
    (tmp_path / "new" / "shop" / "views.py").write_text("answer = 42\n")
    project.rename(tmp_path / "old")
    (tmp_path / "new").rename(project)
    seen = watched.report()
    while "project/shop/views.py" not in seen:  # (seen while there was none)
        seen |= watched.report()
    (project / "shop" / "models.py").write_text("size = 2\n")
    while "project/shop/models.py" not in watched.report():
        pass
    watched.expect_only(project / "manage.py")


def test_the_watched_folder_is_removed_and_comes_back(project: Path, watched: Watched) -> None:
    shutil.rmtree(project)
    names = ("manage.py", "shop/__init__.py", "shop/models.py", "shop/views.py")
    watched.expect(*(f"project/{name}" for name in names))
    project.mkdir()
    (project / "manage.py").write_text("import shop\n")
    watched.expect("project/manage.py")
    watched.expect_only(project / "manage.py")
    assert watched.warnings() == []


@pytest.mark.parametrize("poll", [False, True])
def test_a_link_to_the_project_that_is_turned(
    project: Path, watch: Watch, tmp_path: Path, poll: bool
) -> None:
    second = tmp_path / "second"
    shutil.copytree(project, second)
    (second / "shop" / "views.py").write_text("answer = 42\n")
    current = tmp_path / "current"
    current.symlink_to(project)
    watched = watch(current, poll=poll)
    (project / "shop" / "models.py").write_text("size = 2\n")
    watched.expect("current/shop/models.py")
    (tmp_path / "next").symlink_to(second)
    (tmp_path / "next").rename(current)
    watched.expect("current/shop/models.py", "current/shop/views.py")
    (second / "shop" / "views.py").write_text("answer = 43\n")
    watched.expect("current/shop/views.py")
    (project / "shop" / "views.py").write_text("answer = 44\n")
    watched.expect_only(current / "manage.py")


def test_links_to_a_package_and_to_a_file(project: Path, watched: Watched, tmp_path: Path) -> None:
    package, module = tmp_path / "package", tmp_path / "single.py"
    package.mkdir()
    (package / "__init__.py").write_text("1")
    module.write_text("1")
    (project / "linked").symlink_to(package)
    (project / "linked.py").symlink_to(module)
    watched.expect("project/linked/__init__.py", "project/linked.py")
    (package / "__init__.py").write_text("2")
    watched.expect("project/linked/__init__.py")
    module.write_text("2")
    watched.expect("project/linked.py")
    (project / "linked").unlink()
    watched.expect("project/linked/__init__.py")


def test_links_in_a_ring_and_to_everything(project: Path, watched: Watched, tmp_path: Path) -> None:
    (project / "ring").symlink_to(project)
    (project / "shop" / "self").symlink_to("self")
    (project / "everything").symlink_to("/")
    (project / "nothing").symlink_to(tmp_path / "nothing")
    watched.expect_only(project / "manage.py")
    assert len(watched.watcher._now.folders) == 2


@pytest.mark.parametrize("poll", [False, True])
def test_a_file_apart_that_is_made_removed_and_made_again(
    project: Path, watch: Watch, tmp_path: Path, poll: bool
) -> None:
    rules = tmp_path / "etc" / "rules.json"
    watched = watch(project, files=(rules, project / "shop" / "page.html"), poll=poll)
    (project / "shop" / "page.html").write_text("<h1>")
    watched.expect("project/shop/page.html")
    rules.parent.mkdir()
    rules.write_text("{}")
    watched.expect("etc/rules.json")
    rules.unlink()
    watched.expect("etc/rules.json")
    rules.write_text("{}")
    watched.expect("etc/rules.json")
    new = rules.with_suffix(".new")
    new.write_text("[]")
    new.rename(rules)
    watched.expect("etc/rules.json")
    rules.touch()
    (rules.parent / "other.json").write_text("{}")
    watched.expect_only(project / "manage.py")


def test_a_folder_inside_another_is_watched_once(project: Path, watch: Watch) -> None:
    watched = watch(project / "shop", project, project / "shop")
    assert watched.watcher._laid == {str(project): True}
    (project / "shop" / "views.py").write_text("answer = 42\n")
    watched.expect("project/shop/views.py")


def test_a_large_folder_that_does_not_count_is_gone_around(
    project: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(laying, "MANY", 20)
    for number in range(30):
        (project / "node_modules" / f"package{number}").mkdir(parents=True)
    watched = watch()
    assert watched.watcher._laid == {str(project): False, str(project / "shop"): True}
    (project / "manage.py").write_text("import shop.models\n")
    watched.expect("project/manage.py")
    (project / "new" / "inner").mkdir(parents=True)
    (project / "new" / "inner" / "module.py").write_text("1")
    watched.expect("project/new/inner/module.py")
    (project / "new" / "inner" / "module.py").write_text("2")
    watched.expect("project/new/inner/module.py")
    (project / "node_modules" / "package1" / "setup.py").write_text("1")
    watched.expect_only(project / "shop" / "views.py")


def test_another_set_of_folders(project: Path, watched: Watched, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "old.py").write_text("1")
    os.utime(other / "old.py", (0, 0))
    (project / "shop" / "views.py").write_text("answer = 42\n")
    assert watched.is_readable(30)
    (other / "fresh.py").write_text(
        "1"
    )  # whoever was started before this may have read what was there before
    watched.watcher.watch([project / "shop", other], [])
    watched.expect("project/shop/views.py", "other/fresh.py")
    (project / "manage.py").write_text("1")
    (other / "old.py").write_text("2")
    watched.expect("other/old.py")
    watched.watcher.watch([project], [])
    watched.expect_only(project / "shop" / "models.py")
