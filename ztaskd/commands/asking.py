"""Asks the person at the terminal."""

from __future__ import annotations

import sys

from ztaskd.cli import Exit
from ztaskd.project import Refusal


def confirmed(question: str) -> bool:
    """True for a yes. Raises Refusal when nobody is there."""
    if not sys.stdin.isatty():
        raise Refusal(Exit.USAGE, "nobody is there to be asked (no terminal): say --yes")
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        print()
        return False
