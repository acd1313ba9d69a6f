"""How far a long command is: a bar that is redrawn, on a terminal; elsewhere a line now and then."""

from __future__ import annotations

import sys
import time

from ztaskd.commands.printing import age, cut

# Seconds between two pictures on a terminal; between two lines elsewhere.
REDRAW, LINE = 0.1, 10.0


class Progress:
    """Of `total` tasks; `what` is done to them. Written to standard error, so that the result stays by itself."""

    def __init__(self, total: int, what: str, done: int = 0) -> None:
        self.total = total
        self.what = what
        self.terminal = sys.stderr.isatty()
        self._began = self._shown = time.monotonic()
        self._before = done
        self._drawn = False

    def show(self, done: int, note: str = "", at_once: bool = False) -> None:
        """`note` says what happens now. `at_once`: however short the last picture is ago."""
        now = time.monotonic()
        if not at_once and now - self._shown < (REDRAW if self.terminal else LINE):
            return
        self._shown = now
        if not self.terminal:
            print(
                f"{done:,} of {self.total:,} {self.what}{note and f': {note}'}", file=sys.stderr, flush=True
            )
            return
        from shutil import get_terminal_size

        room = get_terminal_size().columns - 1
        line = cut(picture(done, self.total, self._rate(done, now), min(30, room // 3), note), room)
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
        self._drawn = True

    def end(self) -> None:
        """The line is free again."""
        if self._drawn:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._drawn = False

    def _rate(self, done: int, now: float) -> float:
        return (done - self._before) / max(now - self._began, 0.001)


def picture(done: int, total: int, rate: float, size: int, note: str = "") -> str:
    """A bar of `size` characters, and figures. `rate`: tasks a second."""
    share = 1.0 if done >= total else done / total
    filled = round(share * size)
    parts = [f"[{'#' * filled}{'.' * (size - filled)}] {share:4.0%}  {done:,}/{total:,}"]
    if rate > 0:
        parts.append(f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.2g}/s")
        if done < total:
            parts.append(f"{age((total - done) / rate)} left")
    return "  ".join([*parts, note] if note else parts)
