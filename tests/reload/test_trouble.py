"""When events are not to be had, or end: it is said, and the watcher looks for itself."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from watchdog import events
from watchdog.observers import Observer

from tests.reload.conftest import Watch
from tests.reload.watched import ROOT, again, is_again
from ztaskd.reload import observer, watching


def descriptors() -> list[str]:
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{name}"))
        except FileNotFoundError:
            pass
    return sorted(name for name in found if "inotify" in name or "pipe" in name)


def test_a_stopped_watcher_leaves_no_descriptor_and_no_thread(project: Path, watch: Watch) -> None:
    before = descriptors()
    watched = watch()
    threads = {watched.watcher._thread, *watched.watcher._watches._threads}
    assert len(threads) >= 3
    watched.watcher.stop()
    watched.watcher.stop()
    assert not any(thread.is_alive() for thread in threads)
    assert descriptors() == before


def test_polling_that_was_asked_for_needs_no_watchdog_and_is_no_warning(project: Path, watch: Watch) -> None:
    before = descriptors()
    watched = watch(poll=True)
    assert not any("inotify" in name for name in descriptors() if name not in before)
    assert watched.warnings() == []
    watched.expect_only(project / "manage.py")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EMFILE])
def test_a_refused_watch_means_polling(
    project: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(code, "refused")

    monkeypatch.setattr(Observer, "schedule", refuse)
    watched = watch()
    (line,) = watched.warnings()
    assert {errno.ENOSPC: "max_user_watches = ", errno.EMFILE: "max_user_instances = "}[code] in line
    assert line.endswith("; looking every 0.1 s instead")
    watched.expect_only(project / "manage.py")


@pytest.mark.parametrize(("limit", "count"), [("max_inotify_watches", 5), ("max_inotify_instances", 0)])
def test_a_limit_of_inotify_means_polling(
    project: Path, watch: Watch, tmp_path: Path, limit: str, count: int
) -> None:
    if not is_again():
        _in_a_namespace(limit, count, tmp_path)
        return
    before = descriptors()
    for name in "abcdef":
        (project / name / "inner").mkdir(parents=True)
        (project / name / "inner" / "module.py").write_text("1")
    watched = watch()
    (line,) = watched.warnings()
    assert line.startswith("no events for changes of code: inotify's limit of ")
    # What was had is given back: an editor may want it.
    assert not any("inotify" in name for name in descriptors() if name not in before)
    watched.expect_only(project / "f" / "inner" / "module.py")


def test_a_limit_that_is_reached_by_and_by_means_polling(project: Path, watch: Watch, tmp_path: Path) -> None:
    if not is_again():
        again_in_namespace = "test_a_limit_that_is_reached_by_and_by_means_polling"
        _run_in_namespace("max_inotify_watches", 8, again_in_namespace, tmp_path)
        return
    watched = watch()
    assert watched.warnings() == []
    for name in "abcdef":
        (project / name / "inner").mkdir(parents=True)
        (project / name / "inner" / "module.py").write_text("1")
    watched.expect(*(f"project/{name}/inner/module.py" for name in "abcdef"))
    (project / "f" / "inner" / "module.py").write_text("2")
    watched.expect("project/f/inner/module.py")
    assert "limit of watches" in watched.warnings()[0]


def _in_a_namespace(limit: str, count: int, folder: Path) -> None:
    name = f"test_a_limit_of_inotify_means_polling[{limit}-{count}]"
    _run_in_namespace(limit, count, name, folder)


def _run_in_namespace(limit: str, count: int, name: str, folder: Path) -> None:
    """Runs a test with a limit that is nobody else's: a user namespace has its own."""
    shell = ["sh", "-c", f'echo {count} > /proc/sys/user/{limit} || exit; "$@"', "sh"]
    program = shutil.which("unshare")
    if not program:
        pytest.skip("there is no unshare")
    enter = [program, "--user", "--map-root-user"]
    if subprocess.run([*enter, *shell, "true"], capture_output=True).returncode != 0:
        pytest.skip("this system allows no user namespaces")
    again(f"test_trouble.py::{name}", [*enter, *shell], folder)


def test_a_canary_that_is_not_heard_means_polling(
    project: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observer, "HEARD", [events.DirMovedEvent])
    monkeypatch.setattr(watching, "CANARY", 0.3)
    watched = watch()
    (line,) = watched.warnings()
    assert f"a file made in {project} raised no event" in line
    watched.expect_only(project / "manage.py")
    assert sorted(os.listdir(project)) == ["manage.py", "shop"]


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_thread_of_watchdog_that_dies_means_polling(project: Path, watch: Watch, which: int) -> None:
    watched = watch()
    threads = sorted(watched.watcher._watches._threads, key=lambda thread: type(thread).__name__)
    assert len(threads) == 3
    threads[which].should_keep_running = lambda: False  # type: ignore[attr-defined]
    # This wakes it, and it ends; perhaps with the news.
    (project / "shop" / "views.py").write_text("answer = 42\n")
    watched.wait_for_a_warning()
    assert watched.warnings() == [
        "no events for changes of code: a thread of watchdog has died; looking every 0.1 s instead"
    ]
    (project / "shop" / "models.py").write_text("size = 2\n")
    watched.expect("project/shop/views.py", "project/shop/models.py")


def test_a_watchdog_that_never_ends_is_left_alone(
    project: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observer, "ENDING", 0.1)
    watched = watch()
    stuck, stop = threading.Event(), Observer.stop
    monkeypatch.setattr(Observer, "stop", lambda self: stuck.wait(30) and stop(self))
    ended = set(threading.enumerate())
    (project / "new").mkdir()  # watches are laid anew
    (project / "new" / "module.py").write_text("1")
    watched.expect("project/new/module.py")
    watched.watcher.stop()
    assert watched.watcher._thread not in threading.enumerate()
    stuck.set()
    for thread in set(threading.enumerate()) - ended:
        if thread is not threading.current_thread():
            thread.join(30)
            assert not thread.is_alive()


def test_watchdog_itself_writes_nothing(
    project: Path, watch: Watch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    watched = watch()
    for number in range(10):  # each time, watches are laid anew
        (project / f"new{number}").mkdir()
        (project / f"new{number}" / "module.py").write_text("1")
        watched.expect(f"project/new{number}/module.py")
    watched.watcher.stop()
    assert caplog.records == []
    assert tuple(capfd.readouterr()) == ("", "")


def test_it_needs_neither_the_project_nor_gevent() -> None:
    names = sorted(path.stem for path in Path(watching.__file__).parent.glob("*.py"))
    code = f"""
import importlib, sys
for name in {names}:
    importlib.import_module("ztaskd.reload." + name if name != "__init__" else "ztaskd.reload")
print([name for name in ("django", "django_ztask", "gevent", "greenlet", "zmq") if name in sys.modules])
"""
    if is_again():
        pytest.skip("the same in each process")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")
