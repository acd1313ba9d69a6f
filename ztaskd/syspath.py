"""An interpreter's sys.path for another one that it starts: in variables, which that one takes away again, so that
what tasks start does not inherit them. (`manage.py ztaskd` sets the same ones, and cannot import this.)
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def hand_over(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` for an interpreter that is to have our sys.path, and finds this package at once."""
    given = environment.get("PYTHONPATH", "")
    return {
        **environment,
        "ZTASKD_SYS_PATH": json.dumps(sys.path),
        "ZTASKD_PYTHONPATH": given,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), given])),
    }


def take_over() -> None:
    """Takes the path of who started us, if it left one."""
    path = os.environ.pop("ZTASKD_SYS_PATH", None)
    if path is not None:
        sys.path[:] = json.loads(path)
    pythonpath = os.environ.pop("ZTASKD_PYTHONPATH", None)
    if pythonpath:
        os.environ["PYTHONPATH"] = pythonpath
    elif pythonpath is not None:
        os.environ.pop("PYTHONPATH", None)
