"""`ztaskd top`: what `status` shows, live. Drawn with rich (the extra `tui`); nodes and journal are asked in a thread."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# It works while the database is down.
NEEDS_JOURNAL = False

EXAMPLES = """\
One message to each node, and one look at the journal, in each interval. q or Ctrl-C leaves. A node that dies is shown as
such, and the next one at its address as soon as it answers. When it is not written to a terminal: one picture, as `status`.

examples:
  ztaskd top
  ztaskd top --interval 5

exit codes: 0 left, 2 usage or settings, or rich is missing (pip install 'ztaskd[tui]')
"""

# Seconds between two pictures: the least that is taken, and what there is without a choice.
SHORTEST, INTERVAL = 0.2, 1.0

# Seconds that a node has for its answer.
PATIENCE = 2.0

# Seconds between two looks at the keyboard and at the size of the terminal.
GLANCE = 0.1


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    text = "show live which nodes run, what they do, and what waits"
    parser = commands.add_parser(
        "top",
        help=text,
        description=text.capitalize() + ".",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[common],
    )
    parser.add_argument(
        "--interval",
        type=_interval,
        default=INTERVAL,
        metavar="SECONDS",
        help=f"between two pictures (default {INTERVAL:g}, at least {SHORTEST:g})",
    )


def _interval(text: str) -> float:
    from ztaskd.cli import seconds

    return max(SHORTEST, seconds(text))


def run(options: argparse.Namespace) -> int:
    import signal

    from ztaskd.cli import Exit
    from ztaskd.commands import status
    from ztaskd.project import Refusal

    try:
        import rich  # noqa: F401
    except ImportError:
        raise Refusal(Exit.USAGE, "top needs rich. Run: pip install 'ztaskd[tui]'") from None
    if not sys.stdout.isatty():
        return status.run(argparse.Namespace(json=False, timeout=PATIENCE))
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # (it leaves the terminal as it was)
    try:
        _show(Watch(options.interval))
    except KeyboardInterrupt:
        pass
    return Exit.CLEAN


class Watch:
    """Asks again and again, in a thread: `seen` is the last picture, `turn` its number."""

    def __init__(self, interval: float) -> None:
        import threading

        self.interval = interval
        self.seen: Any = None
        self.turn = 0
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        """(A database that owes an answer is not asked again before it has given it.)"""
        from ztaskd.commands import status
        from ztaskd.commands.journal import Look

        journal = None
        while True:
            began = time.monotonic()
            if journal is None or journal.is_over:
                journal = Look(check=journal is None or journal.found is None)
            self.seen = status.look(PATIENCE, journal, self.interval)
            self.turn += 1
            time.sleep(max(0.0, began + self.interval - time.monotonic()))


def _show(watch: Watch) -> None:
    """Draws until somebody leaves."""
    import select

    from rich.console import Console
    from rich.live import Live

    from ztaskd.commands.screen import picture_of

    console, drawn = Console(), None
    with _keys() as keyboard, Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            now = (watch.turn, console.size)
            if now != drawn:
                drawn = now
                live.update(picture_of(watch.seen, *console.size), refresh=True)
            readable, _, _ = select.select([keyboard] if keyboard is not None else [], [], [], GLANCE)
            if readable and (typed := os.read(keyboard, 100)) and (b"q" in typed.lower() or b"\x03" in typed):
                return


@contextmanager
def _keys() -> Iterator[Any]:
    """The descriptor of the keyboard, whose keys come one by one and are not echoed. None: there is none."""
    if not sys.stdin.isatty():
        yield None
        return
    import termios
    import tty

    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    tty.setcbreak(keyboard)
    try:
        yield keyboard
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)
