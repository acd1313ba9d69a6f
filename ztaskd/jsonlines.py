"""--log-format json: each line of the log is one JSON object, with what it is about as fields. It knows neither gevent
nor Django: the reloader's lines look like this, too.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import datetime
from typing import Any

import msgspec

from ztaskd import lastwords

# What the line that is being written is about: an event of ours, and its fields. (Each greenlet and thread has its own.)
about: ContextVar[tuple[str, dict[str, Any]] | None] = ContextVar("about", default=None)

# What every record has, and what formatting adds to it; all else was given as `extra`.
_STANDARD = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", "from_child"}

# Control characters, and line ends to some, that JSON lets stand.
_ODD = re.compile("[\x7f-\x9f\u2028\u2029]")


class JsonLines(logging.Formatter):
    """`node`: its name, as far as it is known. `task`: gives the fields of the task that is running where it is called,
    or none. `facts`: those of an event."""

    def __init__(
        self,
        node: str | None,
        task: Callable[[], Mapping[str, Any]] = dict,
        facts: Callable[[str, dict[str, Any]], Mapping[str, Any]] = lambda event, fields: {},
    ) -> None:
        super().__init__()
        self.node = node
        self._task = task
        self._facts = facts
        self._clock = 0, "", ""  # (one value: threads share it)

    def line(self, created: float, level: str, text: str, what: Mapping[str, Any] | None = None) -> str:
        """A line of ours, past logging. `created` in epoch seconds; `what` it is about."""
        fields = self._begin(created, level, "ztaskd", text)
        fields.update(self._about() if what is None else what)
        return encode(fields)

    def _about(self) -> Mapping[str, Any]:
        event = about.get()
        return {} if event is None else self._facts(*event)

    def format(self, record: logging.LogRecord) -> str:
        text, what, exception, extra = _of_child(record) or self._of_ours(record)
        fields = self._begin(record.created, record.levelname, record.name, text)
        fields.update(what)
        if exception:
            fields["exception"] = exception
        for name, value in extra.items():
            fields[f"{name}_" if name in fields else str(name)] = value
        return encode(fields)

    def _of_ours(
        self, record: logging.LogRecord
    ) -> tuple[str, Mapping[str, Any], str | None, Mapping[str, Any]]:
        what = self._about() if record.name == "ztaskd" else {}
        text, exception = record.getMessage(), exception_of(record, self)
        if told := what.get("exception"):
            text = text.removesuffix(f"\n{told}")
        return text, what or self._task(), exception, extra_of(record)

    def _begin(self, created: float, level: str, logger: str, text: str) -> dict[str, Any]:
        second, clock, offset = self._clock
        if second != int(created):
            second = int(created)
            whole = datetime.fromtimestamp(second).astimezone().isoformat()
            clock, offset = whole[:19], whole[19:]
            self._clock = second, clock, offset
        return {
            "time": f"{clock}.{int((created - second) * 1000):03d}{offset}",
            "level": level,
            "logger": logger,
            "message": text,
            "node": self.node,
            "pid": os.getpid(),
        }

    def as_last_words(self) -> None:
        """What is said past the log looks the same from now on."""
        lastwords.look = lambda level, text: self.line(time.time(), level, text, {})


def _of_child(
    record: logging.LogRecord,
) -> tuple[str, Mapping[str, Any], str | None, Mapping[str, Any]] | None:
    """Of a record that a child process has sent."""
    found = getattr(record, "from_child", None)
    if found is None:
        return None
    line, pid = found
    task = (
        {}
        if line.task is None
        else {"task_id": line.task, "function": line.function, "attempt": line.attempt}
    )
    return line.text, {"pid": pid, **task}, line.exception, line.extra


def exception_of(record: logging.LogRecord, formatter: logging.Formatter) -> str | None:
    """The traceback (or the stack that was asked for) as one text."""
    texts = []
    if record.exc_info:
        texts.append(formatter.formatException(record.exc_info))
    elif record.exc_text:
        texts.append(record.exc_text)
    if record.stack_info:
        texts.append(record.stack_info)
    return utf8("\n".join(texts)) or None


def extra_of(record: logging.LogRecord) -> dict[str, Any]:
    """What `extra={...}` has given, fit for JSON."""
    return {str(name): plain(value) for name, value in vars(record).items() if name not in _STANDARD}


def plain(value: Any) -> Any:
    """The value as JSON has it; what it does not have, as its repr()."""
    if value is None or type(value) in (bool, float):
        return value
    if type(value) is int:
        return value if value.bit_length() < 64 else repr(value)
    if type(value) is str:
        return utf8(value)
    try:
        if not isinstance(value, bytes | bytearray | memoryview):
            return msgspec.json.decode(_encoder.encode(value))
    except Exception:  # of any kind, in methods of theirs
        pass
    try:
        return repr(value)
    except Exception:
        return f"<{type(value).__name__} without a repr()>"


def _text(value: Any) -> str:
    """What JSON has nothing for. (A str of Django's own, as a translated or a safe one, is a str.)"""
    return str.__str__(value) if isinstance(value, str) else repr(value)


_encoder = msgspec.json.Encoder(enc_hook=_text)


def encode(fields: dict[str, Any]) -> str:
    """One line, whatever is in it. Values are plain; texts may hold what UTF-8 does not have."""
    try:
        text = _encoder.encode(fields).decode()
    except Exception:  # a lone surrogate, an endless integer
        text = _encoder.encode({utf8(name): _fit(value) for name, value in fields.items()}).decode()
    if text.isascii() and "\x7f" not in text:
        return text
    return _ODD.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _fit(value: Any) -> Any:
    if isinstance(value, str):
        return utf8(value)
    try:
        _encoder.encode(value)
    except Exception:
        return utf8(repr(value))
    return value


def utf8(text: str) -> str:
    """Without lone surrogates, which no encoding has."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
