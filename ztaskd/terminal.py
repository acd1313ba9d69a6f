"""HUP has two meanings: a person or a deploy asks for new code, or the terminal that we run in was closed."""

from __future__ import annotations

import os


def has_terminal() -> bool:
    """Whether we have a controlling terminal (now: it is taken from us before its closing is told)."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


class Terminal:
    """The one that we have at the start, if any."""

    def __init__(self) -> None:
        self._had = has_terminal()

    def is_gone(self) -> bool:
        return self._had and not has_terminal()
