"""Named points on a task's way at which a test can end the process as kill -9 does.

Nothing happens unless the environment says ZTASKD_CRASH_AT=NAME, or NAME:3 for the third time it is reached.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Collection
from typing import Any

# In the order of a task's way. Each has a test that dies there (tests/acceptance/test_crash_points.py, for those in a child test_children_faults.py).
POINTS = (
    "caller-before-insert",
    "caller-before-commit",
    "caller-before-message",
    "caller-unsynced",
    "caller-cancelled",
    "intake-decoded",
    "claim-uncommitted",
    "claim-committed",
    "attempt-starts",
    "child-ended",
    "child-sent",
    "attempt-cancelled",
    "attempt-ended",
    "finish-gathered",
    "finish-uncommitted",
    "finish-committed",
    "recover-uncommitted",
    "replay-uncommitted",
    "replay-batch-uncommitted",
    "replay-committed",
    "prune-uncommitted",
    "pause-committed",
    "aside-uncommitted",
    "back-uncommitted",
)

_name, _, _times = os.environ.get("ZTASKD_CRASH_AT", "").partition(":")
_left = int(_times or 1)


def reach(name: str, rows: Collection[Any] = (None,)) -> None:
    """Dies here if this is the point, and the time, that the environment names. Without `rows`, it is not."""
    if name == _name and rows:
        _count_down()


def _count_down() -> None:
    global _left
    _left -= 1
    if _left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
