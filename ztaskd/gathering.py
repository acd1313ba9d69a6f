"""Lines by the thousand gather until the hub turns, and are written together: one by one, with all that
logging does for each, they cost more than the tasks they tell of.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

import gevent

from django_ztask.execute import current_task
from ztaskd.cli import LOG_FORMAT
from ztaskd.jsonlines import JsonLines


class Formatter(logging.Formatter):
    """What a task logs carries its id, as it does when it comes from a child. (Our own lines name their tasks.)"""

    def __init__(self) -> None:
        super().__init__(LOG_FORMAT)
        self.node: str | None = None  # (it is not in these lines)
        self._clock = 0, ""  # (one value: threads share it)

    def line(self, created: float, level: str, text: str, what: Mapping[str, Any] | None = None) -> str:
        """A line of ours, past logging. `created` in epoch seconds; what it is about, its text says."""
        second, clock = self._clock
        if second != int(created):
            second = int(created)
            clock = time.strftime(self.default_time_format, time.localtime(second))
            self._clock = second, clock
        return f"{clock},{int((created - second) * 1000):03d} ztaskd {level} {text}"

    def formatMessage(self, record: logging.LogRecord) -> str:
        task = current_task()
        if task is not None and record.name != "ztaskd":
            record.message = f"task {task.id}: {record.message}"
        return super().formatMessage(record)


# How lines look, as --log-format says.
Look = Formatter | JsonLines


class Gathering(logging.Handler):
    """A handler that can be given lines as they shall stand in the log (`later`, on the hub's thread only).
    Every other record is written behind them."""

    def __init__(self, look: Look | None = None) -> None:
        self.look = look or Formatter()
        self._lines: list[str] = []

    def later(self, created: float, text: str) -> None:
        """A line of ours at level INFO, `created` in epoch seconds. Written within a turn of the hub."""
        if not self._lines:
            gevent.get_hub().loop.run_callback(self.write_lines)
        self._lines.append(self.look.line(created, "INFO", text))

    def write_lines(self) -> None:
        if self._lines:
            lines, self._lines = self._lines, []
            super().handle(Lines(lines))

    def handle(self, record: logging.LogRecord) -> bool:
        self.write_lines()
        return bool(super().handle(record))

    def format(self, record: logging.LogRecord) -> str:
        return record.msg if isinstance(record, Lines) else super().format(record)

    def flush(self) -> None:
        self.write_lines()
        super().flush()


class Lines(logging.LogRecord):
    """Several lines at once. `count`: how many."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("ztaskd", logging.INFO, __file__, 0, "\n".join(lines), None, None)
        self.count = len(lines)
