"""What counts as a change of code, whoever makes it: each is reported, and reported alone."""

from __future__ import annotations

import mmap
import os
import subprocess
import threading
from pathlib import Path

import pytest

from tests.reload.conftest import Watch
from tests.reload.watched import Watched
from ztaskd.reload import watching


def test_a_plain_write(project: Path, watched: Watched) -> None:
    (project / "shop" / "views.py").write_text("answer = 42\n")
    watched.expect("project/shop/views.py")


def test_a_write_in_two_halves_is_reported_when_its_file_is_closed(project: Path, watch: Watch) -> None:
    watched = watch()
    with open(project / "shop" / "views.py", "w") as file:
        file.write("answer =")
        file.flush()
        # Another change, seen in between, may show this one too; it must be shown again when it is complete.
        (project / "shop" / "models.py").write_text("size = 2\n")
        seen = watched.report()
        assert "project/shop/models.py" in seen
        file.write(" 42\n")
    watched.expect("project/shop/views.py")


def test_a_file_that_takes_anothers_place(project: Path, watched: Watched) -> None:
    new = project / "shop" / ".views.py.Xy12"
    new.write_text("answer = 42\n")
    new.rename(project / "shop" / "views.py")
    watched.expect("project/shop/views.py")


def test_a_file_that_comes_from_another_folder(project: Path, watched: Watched, tmp_path: Path) -> None:
    new = tmp_path / "elsewhere"
    new.write_text("answer = 42\n")
    new.rename(project / "shop" / "views.py")
    watched.expect("project/shop/views.py")
    (project / "shop" / "models.py").rename(project / "models.py")
    watched.expect("project/shop/models.py", "project/models.py")


def test_sed(project: Path, watched: Watched) -> None:
    subprocess.run(["sed", "-i", "s/41/42/", str(project / "shop" / "views.py")], check=True)
    watched.expect("project/shop/views.py")


def test_a_file_that_is_removed_and_made_again(project: Path, watched: Watched) -> None:
    views = project / "shop" / "views.py"
    text = views.read_text()
    views.unlink()
    watched.expect("project/shop/views.py")
    views.write_text(text)
    watched.expect("project/shop/views.py")


def test_what_is_as_it_was_when_one_asks_is_nothing(project: Path, watched: Watched) -> None:
    views = project / "shop" / "views.py"
    text = views.read_text()
    views.write_text("answer = 42\n")
    assert watched.is_readable(30)
    views.write_text(text)
    (project / "shop" / "models.py").write_text("size = 2\n")
    seen: set[str] = set()
    while "project/shop/models.py" not in seen:
        seen = watched.report()
    watched.expect_only(project / "manage.py")


def test_the_same_size_and_times_with_another_content(project: Path, watched: Watched) -> None:
    views = project / "shop" / "views.py"
    before = views.stat()
    new = project / "shop" / "new"
    new.write_text("answer = 42\n")
    os.utime(new, ns=(before.st_atime_ns, before.st_mtime_ns))
    new.rename(views)
    assert (views.stat().st_size, views.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    watched.expect("project/shop/views.py")


def test_a_clock_that_was_set_back(project: Path, watched: Watched) -> None:
    views = project / "shop" / "views.py"
    new = project / "shop" / "new"
    new.write_text("answer = 42\n")
    os.utime(new, (0, 0))
    new.rename(views)
    watched.expect("project/shop/views.py")


def test_names_that_are_no_text(project: Path, watched: Watched) -> None:
    folder = os.fsencode(project) + b"/caf\xe9"
    os.mkdir(folder)
    with open(folder + b"/\xff.py", "w") as file:
        file.write("1")
    watched.expect("project/caf\udce9/\udcff.py")


def test_a_checkout_of_500_files_is_one_report(project: Path, watched: Watched) -> None:
    def git(*args: str) -> None:
        settings = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main"]
        subprocess.run(["git", "-C", str(project), *settings, *args], check=True, capture_output=True)

    def write(text: str) -> None:
        for number in range(500):
            path = project / f"app{number % 50}" / f"module{number}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"{text} = {number}\n")

    git("init")
    write("old")
    git("add", ".")
    git("commit", "-m", "old")
    write("new")
    git("commit", "-a", "-m", "new")
    watched.watcher.stop()
    again = Watched(watched.base, [project], [], poll=watched.watcher._polling)
    try:
        git("checkout", "HEAD~1")
        assert len(again.report()) == 500
        again.expect_only(project / "manage.py")
    finally:
        again.watcher.stop()


def test_a_burst_without_an_end_is_reported_while_it_lasts(project: Path, watched: Watched) -> None:
    enough = threading.Event()

    def write() -> None:
        number = 0
        while not enough.wait(0.01):
            number += 1
            (project / "shop" / "views.py").write_text(f"answer = {number}\n")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert watched.report() == {"project/shop/views.py"}
        assert writer.is_alive()
    finally:
        enough.set()
        writer.join()


def test_what_raises_no_event_is_found_on_patrol(
    project: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "PATROL", 0.2)
    watched = watch()
    with open(project / "shop" / "views.py", "r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
        memory[:6] = b"result"
        memory.flush()
        watched.expect("project/shop/views.py")


def test_1500_files_in_900_folders_that_appear_at_once(project: Path, watch: Watch, tmp_path: Path) -> None:
    made = tmp_path / "made"
    for number in range(900):
        folder = made / f"a{number % 30}" / f"b{number}"
        folder.mkdir(parents=True)
        (folder / "one.py").write_text("1")
        if number < 600:
            (folder / "two.py").write_text("2")
    watched = watch()
    subprocess.run(["cp", "-r", str(made), str(project / "made")], check=True)
    found: set[str] = set()
    while len(found) < 1500:
        found |= watched.report()
    (project / "made" / "a29" / "b899" / "one.py").write_text("changed")
    watched.expect("project/made/a29/b899/one.py")
    assert watched.warnings() == []
