"""Lines by the thousand gather until the hub turns, and are written together: one by one, with all that
logging does for each, they cost more than the tasks they tell of.
"""

from __future__ import annotations

import logging
import time

import gevent

from django_ztask.execute import current_task


class Gathering(logging.Handler):
    """A handler that can be given lines as they shall stand in the log (`later`, on the hub's thread only).
    Every other record is written behind them."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._second = 0
        self._text = ""

    def later(self, created: float, text: str) -> None:
        """A line of ours at level INFO, `created` in epoch seconds. Written within a turn of the hub."""
        second = int(created)
        if second != self._second:
            self._second = second
            self._text = time.strftime(logging.Formatter.default_time_format, time.localtime(second))
        if not self._lines:
            gevent.get_hub().loop.run_callback(self.write_lines)
        self._lines.append(f"{self._text},{int((created - second) * 1000):03d} ztaskd INFO {text}")

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


class Formatter(logging.Formatter):
    """What a task logs carries its id, as it does when it comes from a child. (Our own lines name their tasks.)"""

    def formatMessage(self, record: logging.LogRecord) -> str:
        task = current_task()
        if task is not None and record.name != "ztaskd":
            record.message = f"task {task.id}: {record.message}"
        return super().formatMessage(record)


class Lines(logging.LogRecord):
    """Several lines at once. `count`: how many."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("ztaskd", logging.INFO, __file__, 0, "\n".join(lines), None, None)
        self.count = len(lines)
