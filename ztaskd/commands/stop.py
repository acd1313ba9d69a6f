"""`ztaskd stop`: asks the project's nodes on this host to stop, and waits until they are gone."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterable
from functools import partial
from typing import Any

# It works while the database is down.
NEEDS_JOURNAL = False

EXAMPLES = """\
It needs no pidfile: it asks the addresses of ZTASKD_URL, and the nodes that the journal knows on this host, by a signed
message, and does what `kill -TERM` does: what runs is finished, for up to the daemon's --grace, then interrupted and
queued again. A daemon that reloads by itself ends along with its parent. It waits until they are gone; to stop waiting (Ctrl-C,
--timeout) does not undo it. Where a supervisor starts the daemon anew, tell the supervisor instead.

examples:
  ztaskd stop                      as long as the daemon's --grace, and ten seconds
  ztaskd stop --timeout 5 || kill -9 PID

exit codes: 0 all are gone, or none was there; 1 one is still there, or took no message of ours; 2 usage or settings
"""

# Seconds that a node has for its answer: the first time, where none is known to live, and in later rounds.
PATIENCE, PATIENCE_NOBODY, PATIENCE_LATER = 2.0, 0.3, 0.5

# Seconds between two looks at who is left; until the first line about that, and between two of them.
ROUND, FIRST_LINE, LINE = 0.2, 0.5, 3.0

# Seconds for the end of a node beyond its grace: interrupted tasks clean up, the last outcomes are written.
BEYOND = 10.0


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    from ztaskd.cli import seconds

    text = "stop the daemon, and wait until it is gone"
    parser = commands.add_parser(
        "stop",
        help=text,
        description=text.capitalize() + ".",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[common],
    )
    parser.add_argument(
        "--timeout",
        type=seconds,
        metavar="SECONDS",
        help=f"how long to wait (default: the daemon's --grace, and {BEYOND:g})",
    )


def run(options: argparse.Namespace) -> int:
    from ztaskd.cli import Exit

    stop = Stop(options.timeout)
    try:
        return stop.run()
    except KeyboardInterrupt:
        print("\nztaskd: not waited for any longer; what was asked to stop goes on with it", file=sys.stderr)
        return Exit.CRASH


class Stop:
    """One run of the command. `timeout`: None for what the nodes need."""

    def __init__(self, timeout: float | None) -> None:
        from django_ztask.conf import conf

        self.timeout = timeout
        self.pending = list(conf.url)  # addresses that have not taken the message
        self.grace: float = conf.grace
        self.names: dict[int, str] = {}  # of the processes that are to end
        self.asked: set[int] = set()  # those that have taken the message, and their parents
        self.boots: list[str] = []
        self.refused = self.busy = False
        self._open: dict[int, int] = {}  # a descriptor for each process that is there
        self._began = time.monotonic()
        self._say = self._began + FIRST_LINE  # when the next line is due
        self._runs: Any = None

    def run(self) -> int:
        from ztaskd.cli import Exit

        patience = self._look_around()
        if self.timeout is not None:
            patience = min(patience, self.timeout)
        while True:
            if not self.asked.issuperset(self._open) or self.busy or not self.names:
                self._ask(patience)
            self._wait(ROUND if self._open or self.busy else 0)
            if not (self._open or self.busy):
                return self._end()
            if self.refused and self.asked.isdisjoint(self._open):
                return Exit.CRASH  # (why, has been said: to wait changes nothing)
            now = time.monotonic()
            if now > self._began + (self.grace + BEYOND if self.timeout is None else self.timeout):
                return self._give_up()
            if now > self._say:
                self._tell()
                self._say = now + LINE
            patience = PATIENCE_LATER

    def _look_around(self) -> float:
        """Who is there, as far as the journal and the lock files tell. Returns the patience for the first round."""
        import socket

        from django.db import connections

        from django_ztask.conf import conf
        from ztaskd.commands import journal

        look = journal.Look()
        for pid in journal.holders():
            self._watch(pid, f"pid {pid}")
        found = look.wait()
        for node in found["nodes"] if found else ():
            if node["lives"] and node["host"] == socket.gethostname():
                self._watch(node["pid"], f"{node['name']} (pid {node['pid']})")
                self.boots.append(node["boot"])
                if node["url"] not in self.pending:
                    self.pending.append(node["url"])
        self.trouble = "" if found else f" ({look.trouble})"
        certain = (
            found is not None or connections[conf.database].vendor == "sqlite"
        )  # (its locks lie beside it)
        return PATIENCE_NOBODY if certain and not self._open else PATIENCE

    def _watch(self, pid: int, name: str) -> None:
        """(A descriptor: another process may get the same id.)"""
        self.names[pid] = name
        if pid not in self._open:
            try:
                self._open[pid] = os.pidfd_open(pid)
            except OSError:  # it is gone
                pass

    def _ask(self, patience: float) -> None:
        from ztaskd.commands.nodes import ask_all
        from ztaskd.commands.printing import clean

        self.busy = False
        for answer in ask_all(self.pending, "stop", patience):
            if answer.value is not None:
                self.pending.remove(answer.url)
                self._accepted(answer.value)
            elif answer.kind == "busy":
                self.busy = True
            elif answer.is_refusal:
                self.pending.remove(answer.url)
                self.refused = True
                print("\n".join(map(clean, answer.lines())), file=sys.stderr)

    def _accepted(self, node: dict[str, Any]) -> None:
        import socket

        name = f"{node['name']} (pid {node['pid']})"
        if node["host"] != socket.gethostname():
            print(f"{name} on {node['host']} was asked; it is not waited for from here", file=sys.stderr)
            return
        self.grace = max(self.grace, node["grace"])
        self.boots.append(node["boot"])
        self.asked.add(node["pid"])
        self._watch(node["pid"], name)
        if node["reloader"] is not None:
            self.asked.add(node["reloader"])
            self._watch(node["reloader"], f"its reloader (pid {node['reloader']})")

    def _wait(self, seconds: float) -> None:
        """Until one of them is gone."""
        import select

        gone, _, _ = select.select(list(self._open.values()), [], [], seconds)
        for pid, fd in list(self._open.items()):
            if fd in gone:
                os.close(self._open.pop(pid))

    def _tell(self) -> None:
        """What is waited for."""
        from ztaskd.commands.journal import Look

        if self._runs is None or self._runs.is_over:
            self._runs = Look(partial(running, self.boots))
        tasks = self._runs.wait(1.0)
        print(
            f"waiting for {self._who(self._open)}{f': {tasks}' if tasks else ''}", file=sys.stderr, flush=True
        )

    def _who(self, pids: Iterable[int]) -> str:
        from ztaskd.commands.printing import clean

        words = [clean(self.names[pid]) for pid in sorted(pids, key=lambda pid: pid not in self.asked)]
        return " and ".join(words) or "the new code, which takes over just now"

    def _end(self) -> int:
        from ztaskd.cli import Exit

        if self.names:
            print(f"stopped: {self._who(self.names)}")
        elif not self.refused:
            print(f"no node runs: there is nothing to stop{self.trouble}")
        return Exit.CRASH if self.refused else Exit.CLEAN

    def _give_up(self) -> int:
        from ztaskd.cli import Exit

        seconds = time.monotonic() - self._began
        print(f"still there after {seconds:.0f} s: {self._who(self._open)}", file=sys.stderr)
        if silent := self._open.keys() - self.asked:
            print(
                f"pid {', '.join(map(str, sorted(silent)))} did not answer: it starts, or stops already, or something "
                "blocks it; `kill -TERM PID` is as good",
                file=sys.stderr,
            )
        else:
            print(
                "it finishes what runs, as long as its --grace, and goes on stopping; `kill -9 PID` ends it at once (what "
                "ran is recovered at the next start)",
                file=sys.stderr,
            )
        return Exit.CRASH


def running(boots: list[str], connection: Any) -> str:
    """What those boots run, the oldest first."""
    from django_ztask import standing
    from ztaskd.commands.printing import age, clean, number

    runs = standing.runs(connection, boots)
    if not runs:
        return ""
    now = time.time()
    first = [f"{clean(function)} ({age(now - (claimed or now))})" for function, claimed in runs[:3]]
    more = f" and {len(runs) - 3} more" if len(runs) > 3 else ""
    return f"{number(len(runs), 'task')} {'runs' if len(runs) == 1 else 'run'}: {', '.join(first)}{more}"
