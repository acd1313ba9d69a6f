"""Lock files between real processes: one holder, free as soon as it is gone, never kept by a forked child."""

from __future__ import annotations

import fcntl
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import connection

from tests.integration.helpers import ROOT
from ztaskd.boot import _boot_lock
from ztaskd.locks import LockFile, folder_for, is_held
from ztaskd.project import Refusal
from ztaskd.recover import boot_lock

# Takes the lock, says so, and waits for a line.
HOLDER = """
import os, sys
from pathlib import Path
from ztaskd.locks import LockFile
lock = LockFile(Path(sys.argv[1]))
print(lock.acquire(f"pid {os.getpid()}"), flush=True)
"""
WAIT = "sys.stdin.readline()\n"
# Leaves a child behind that outlives it, and says when the child is there.
FORK = """
reader, writer = os.pipe()
if os.fork() == 0:
    os.write(writer, b"x")
    os.close(writer)
    sys.stdin.readline()
    os._exit(0)
os.read(reader, 1)
print("forked", flush=True)
"""
RELEASE = "lock.release()\nprint('released', flush=True)\n"

Start = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "node.lock"


@pytest.fixture
def start(path: Path) -> Iterator[Start]:
    """Starts a process that tries to take the lock; ends it with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", HOLDER + code, str(path)]
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.communicate(timeout=30)  # closes its stdin: it, and its child, go on and end


def says(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait(30)


def test_one_process_holds_it_and_says_who(path: Path, start: Start) -> None:
    assert not is_held(path)
    holder = start(WAIT)
    assert says(holder) == "True"
    assert is_held(path)
    mine = LockFile(path)
    assert not mine.acquire("me")
    assert mine.holder() == f"pid {holder.pid}"
    assert says(start(WAIT)) == "False"


def test_it_is_free_when_its_holder_was_killed(path: Path, start: Start) -> None:
    holder = start(WAIT)
    assert says(holder) == "True"
    kill(holder)
    assert path.exists()
    assert not is_held(path)
    mine = LockFile(path)
    assert mine.acquire("me")
    assert (mine.holder(), is_held(path)) == ("me", True)
    mine.release()


def test_a_forked_child_does_not_keep_it_when_its_holder_was_killed(path: Path, start: Start) -> None:
    holder = start(FORK + WAIT)
    assert (says(holder), says(holder)) == ("True", "forked")
    assert is_held(path)
    kill(holder)
    assert not is_held(path)


def test_a_forked_child_does_not_release_what_its_parent_holds(path: Path, start: Start) -> None:
    holder = start(FORK.replace("    os.write", "    lock.release()\n    os.write") + WAIT)
    assert (says(holder), says(holder)) == ("True", "forked")
    assert is_held(path)
    assert path.exists()


def test_it_is_free_when_its_holder_released_it(path: Path, start: Start) -> None:
    holder = start(RELEASE + WAIT)
    assert (says(holder), says(holder)) == ("True", "released")
    assert not path.exists()
    assert says(start(WAIT)) == "True"


def test_releasing_twice_or_before_taking_is_fine(path: Path) -> None:
    lock = LockFile(path)
    lock.release()
    assert lock.acquire("me")
    lock.release()
    lock.release()
    assert not path.exists()
    assert lock.acquire("me again")
    lock.release()


def test_a_file_that_its_holder_removed_in_the_last_moment_is_not_mistaken_for_the_lock(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between our open and our lock: what we lock then is no longer at the path."""
    flock, removed = fcntl.flock, []

    def slow_flock(fd: int, how: int) -> None:
        if not removed:
            removed.append(path.unlink())
        flock(fd, how)

    monkeypatch.setattr(fcntl, "flock", slow_flock)
    lock = LockFile(path)
    assert lock.acquire("me")
    assert (is_held(path), lock.holder()) == (True, "me")
    lock.release()


def test_the_file_of_a_dead_holder_is_taken_over_with_a_new_text(path: Path) -> None:
    path.write_text("pid 1, and a long story about it")
    lock = LockFile(path)
    assert lock.acquire("me")
    assert path.read_text() == "me"
    lock.release()


def test_only_its_owner_can_read_it(path: Path) -> None:
    lock = LockFile(path)
    lock.acquire("me")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    lock.release()


def test_a_child_that_runs_another_program_does_not_inherit_it(path: Path) -> None:
    lock = LockFile(path)
    lock.acquire("me")
    child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, close_fds=False)
    os.link(path, path.with_name("copy"))
    lock.release()
    assert not is_held(path.with_name("copy"))
    child.communicate(timeout=30)


def test_a_holder_that_cannot_be_read_is_unknown(path: Path) -> None:
    assert LockFile(path).holder() == "unknown"
    path.write_bytes(b"  \n")
    assert LockFile(path).holder() == "unknown"
    path.write_bytes(b"\xff\xfe pid")
    assert LockFile(path).holder().endswith("pid")


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="missing"):
        LockFile(tmp_path / "missing" / "lock").acquire("me")


def test_locks_live_beside_the_database_in_a_folder_of_its_owner(tmp_path: Path) -> None:
    folder = folder_for(connection)
    assert folder == tmp_path / "site.sqlite3-ztaskd"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert folder_for(connection) == folder


def test_of_many_processes_that_start_at_once_one_gets_it(path: Path, start: Start) -> None:
    processes = [start(WAIT) for _ in range(4)]
    assert sorted(says(process) for process in processes) == ["False", "False", "False", "True"]


def test_a_daemon_whose_own_lock_somebody_else_holds_does_not_start(tmp_path):
    """It would count as dead, and what it runs would be recovered."""
    theirs = LockFile(boot_lock(tmp_path, "one"))
    assert theirs.acquire("pid 17")
    with pytest.raises(Refusal, match="pid 17"), _boot_lock(tmp_path, "one"):
        pass
    theirs.release()
    with _boot_lock(tmp_path, "one"):
        assert is_held(theirs.path)
