"""What is said past the log, for its lock may be held, or it is not open: why there is no daemon, and that one ends at
once. Imported before gevent is patched in: it imports nothing that would have to be patched.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

# What --log-format json makes of it: level and text into a line.
look: Callable[[str, str], str] | None = None

AT_ONCE = "stopped at once; what ran is recovered at the next start"


def say(text: str, fd: int = 2, level: str = "CRITICAL") -> None:
    """To the terminal, or to the log when that has taken its place."""
    line = f"ztaskd: {text}" if look is None else look(level, text)
    with suppress(OSError):
        os.write(fd, f"{line}\n".encode("utf-8", "backslashreplace"))


def leave(why: str, code: int) -> NoReturn:
    """The process ends here and now. Fit for a signal's handler, and for any thread."""
    say(f"{why}: {AT_ONCE}", level="WARNING")
    os._exit(code)
