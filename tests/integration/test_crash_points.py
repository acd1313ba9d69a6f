"""Crash points: the code reaches each that is named, and nothing happens unless the environment asks."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from django_ztask.crashpoints import POINTS

ROOT = Path(__file__).resolve().parents[2]


def test_the_code_reaches_every_point_once() -> None:
    text = "".join(
        path.read_text() for name in ("django_ztask", "ztaskd") for path in (ROOT / name).rglob("*.py")
    )
    assert sorted(re.findall(r'reach\("([\w-]+)"', text)) == sorted(POINTS)


@pytest.mark.parametrize(
    ("named", "code"),
    [("", 0), ("claim-committed", 0), ("attempt-starts:2", -signal.SIGKILL), ("attempt-starts:3", 0)],
)
def test_only_the_named_point_kills_and_only_at_its_time(named: str, code: int) -> None:
    script = "from django_ztask import crashpoints as c; [c.reach('attempt-starts') for n in range(2)]"
    env = {"ZTASKD_CRASH_AT": named, "PYTHONPATH": str(ROOT)}
    assert subprocess.run([sys.executable, "-c", script], env=env, timeout=60).returncode == code
