"""When a burst of changes is over, and when git is asked."""

from __future__ import annotations

import os
import time
from pathlib import Path

from ztaskd.reload.settling import AT_MOST, GIT_AT_MOST, QUIET, Burst, index_locks


def test_a_burst_is_over_after_a_pause_and_in_any_case_after_a_second() -> None:
    burst = Burst(100.0, frozenset())
    assert abs(burst.rest(100.0, 100.0) - QUIET) < 1e-6
    assert burst.rest(100.5, 100.5 + QUIET) == 0.0
    assert burst.rest(100.0 + AT_MOST, 100.0 + AT_MOST) == 0.0
    assert 0.0 < burst.rest(100.0 + AT_MOST - 0.01, 100.0 + AT_MOST - 0.01) < QUIET


def test_while_git_holds_the_lock_of_its_index_a_burst_goes_on(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    locks = index_locks([str(inner), str(tmp_path)])
    assert locks == {str(tmp_path / ".git" / "index.lock")}
    burst = Burst(100.0, locks)
    assert burst.rest(100.0, 105.0) == 0.0
    (tmp_path / ".git" / "index.lock").touch()
    assert burst.rest(100.0, 105.0) == QUIET
    assert burst.rest(100.0, 100.0 + GIT_AT_MOST) == 0.0
    old = time.time() - 2 * GIT_AT_MOST  # left behind by a git that was killed
    os.utime(tmp_path / ".git" / "index.lock", (old, old))
    assert burst.rest(100.0, 105.0) == 0.0


def test_a_worktree_has_its_lock_elsewhere(tmp_path: Path) -> None:
    (tmp_path / ".git").write_text("gitdir: ../main/.git/worktrees/one\n")
    (lock,) = index_locks([str(tmp_path)])
    assert os.path.normpath(lock) == str(tmp_path.parent / "main/.git/worktrees/one/index.lock")
    (tmp_path / ".git").write_bytes(b"\xff nonsense")
    assert index_locks([str(tmp_path)]) == frozenset()
