"""What stands in a row of django-ztask 0.1: text -> args and kwargs, or LegacyError; text -> time.

Python 2 wrote them, as pickles of protocol 0 stored as text; one fork as base64 of protocol 2. They carry no
MAC, so only the names in _KNOWN are ever looked up, and only plain values come out. Pure: no Django, no I/O.
Migration 0003 uses this once; the daemon never does.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import io
import pickle
import pickletools
import uuid
from decimal import Decimal
from typing import Any, ClassVar

EPOCH = datetime.datetime.fromtimestamp(0, datetime.UTC)


class LegacyError(Exception):
    """This text is not read. The message says why."""


class _Uuid:
    """A UUID whose state comes later in the pickle."""

    state: Any = None


class _Bytes(bytes):
    """Bytes written as such by Python 3; plain `bytes` are strings of Python 2 here."""


def _decimal(text: bytes | str) -> Decimal:
    return Decimal(text if isinstance(text, str) else decode(text))


def _bytearray(text: bytes | str = "", encoding: object = None) -> bytearray:
    return bytearray(text if isinstance(text, bytes) else text.encode("latin-1"))


def _codecs_encode(text: str, encoding: object) -> _Bytes:
    return _Bytes(text.encode("latin-1"))


def _reconstruct(kind: object, base: object, state: object) -> _Uuid:
    if kind is not _Uuid:
        raise LegacyError("it holds an object of a class of its own")
    return _Uuid()


def _utc() -> datetime.timezone:
    return datetime.UTC


# Every name that is looked up, as Python 2 and 3 spell it, and what stands for it here.
_KNOWN: dict[str, Any] = {
    **{f"{module}.{kind.__name__}": kind for module in ("__builtin__", "builtins")
       for kind in (set, frozenset, complex, object)},
    "__builtin__.xrange": range,
    "__builtin__.bytearray": _bytearray,
    "__builtin__.bytes": _Bytes,
    "_codecs.encode": _codecs_encode,
    "copy_reg._reconstructor": _reconstruct,
    "datetime.datetime": datetime.datetime,
    "datetime.date": datetime.date,
    "datetime.time": datetime.time,
    "datetime.timedelta": datetime.timedelta,
    "decimal.Decimal": _decimal,
    "uuid.UUID": _Uuid,
    # What made a datetime of Django 1.4 aware. Other time zones would need pytz.
    "pytz._UTC": _utc,
    "django.utils.timezone.UTC": _utc,
}  # fmt: skip

_ATOMS = frozenset({
    type(None), bool, float, complex, range, bytearray, Decimal,
    datetime.datetime, datetime.date, datetime.time, datetime.timedelta,
})  # fmt: skip

# What Python 2 could write. Extension codes and persistent ids mean something only to who wrote them.
_OPCODES = {
    ord(opcode.code)
    for opcode in pickletools.opcodes
    if opcode.proto <= 2 and opcode.name not in ("PERSID", "BINPERSID", "EXT1", "EXT2", "EXT4")
}


class _Reader(pickle._Unpickler):
    """An unpickler that knows few names. (Python's own in Python: the one in C allocates whatever size a
    hostile pickle tells it to, and cannot be kept from setting attributes.)"""

    stack: list[Any]
    dispatch: ClassVar[dict[int, Any]] = {
        code: load for code, load in pickle._Unpickler.dispatch.items() if code in _OPCODES
    }

    def find_class(self, module: str, name: str) -> Any:
        known = _KNOWN.get(f"{module}.{name}")
        if known is None:
            raise LegacyError(f"it names {module}.{name}; read are builtins, datetime, Decimal and UUID")
        return known

    def load_build(self) -> None:
        state = self.stack.pop()
        if type(self.stack[-1]) is not _Uuid:
            raise LegacyError("it sets the state of an object")
        self.stack[-1].state = state

    def load_newobj(self) -> None:
        arguments = self.stack.pop()
        self.stack.append(self.stack.pop()(*arguments))

    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.NEWOBJ[0]] = load_newobj


class _Plain:
    """Rebuilds a value from plain types only, with Python 2's strings as str."""

    def __init__(self, allowance: int) -> None:
        self.allowance = allowance

    def __call__(self, value: Any) -> Any:
        kind = type(value)
        size = len(value) if kind in (bytes, str) else value.bit_length() // 8 if kind is int else 1
        # A few bytes can name one list in itself over and over: what is written out must stay in proportion.
        self.allowance -= 1 + size
        if self.allowance < 0:
            raise LegacyError("it is small, but what it stands for is huge")
        if kind in _ATOMS or kind in (str, int):
            return value
        if kind is bytes:
            return decode(value)
        if kind is _Bytes:
            return bytes(value)
        if kind is _Uuid:
            return self._uuid(value.state)
        if kind in (list, tuple, set, frozenset):
            return kind(map(self, value))
        if kind is dict:
            made = {self(key): self(item) for key, item in value.items()}
            if len(made) != len(value):
                raise LegacyError("two of its keys are the same text")
            return made
        raise LegacyError(f"it holds {value!r:.100}")

    def _uuid(self, state: Any) -> uuid.UUID:
        return uuid.UUID(int=self(state)["int"])


def decode(value: bytes) -> str:
    """A string of Python 2: UTF-8, else Latin-1, which any bytes are."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def load(text: str) -> Any:
    """The value in one column. Raises LegacyError, and nothing else; runs nothing of the text's choice."""
    try:
        # The encoding of the pickle's own unicode strings, in which Latin-1 stands as single bytes.
        data = text.encode("raw-unicode-escape") if text.rstrip().endswith(".") else _unbase64(text)
        value = _Reader(io.BytesIO(data), encoding="bytes").load()
        return _Plain(1_000_000 + 20 * len(data))(value)
    except LegacyError:
        raise
    except RecursionError as error:
        raise LegacyError("it is nested too deeply, or contains itself") from error
    except Exception as error:
        raise LegacyError(f"it is no pickle of Python 2 ({_describe(error)})") from error


def _describe(error: Exception) -> str:
    if isinstance(error, KeyError) and isinstance(error.args[0], int):  # of the table of opcodes
        return f"it has the opcode {chr(error.args[0])!r}"
    return f"{type(error).__name__}: {error}"


def _unbase64(text: str) -> bytes:
    try:
        data = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise LegacyError("it is neither a pickle of Python 2 nor the base64 of one") from None
    if not data:
        raise LegacyError("it is empty")
    return data


def read(args: str, kwargs: str) -> tuple[list[Any] | tuple[Any, ...], dict[str, Any]]:
    """The arguments in a row's two columns. Raises LegacyError, which names the column."""
    found = []
    for column, text in (("args", args), ("kwargs", kwargs)):
        try:
            found.append(load(text))
        except LegacyError as error:
            raise LegacyError(f"{column}: {error}") from error
    positional, named = found
    if not isinstance(positional, list | tuple):
        raise LegacyError(f"args: it holds no list but {positional!r:.100}")
    if not isinstance(named, dict) or not all(isinstance(name, str) for name in named):
        raise LegacyError(f"kwargs: it holds no names and values but {named!r:.100}")
    return positional, named


def micros(text: str | None, zone: datetime.tzinfo) -> int | None:
    """Epoch microseconds of a time: ISO 8601 (in `zone` if it names none), a date, or the seconds, milli- or
    microseconds since the epoch. None for anything else."""
    text = (text or "").strip()
    try:
        number = float(text)
        for unit in (1, 1000, 1000000):
            if 1e9 <= number / unit < 1e10:  # the years 2001 to 2286: django-ztask began in 2011
                return round(number * (1000000 // unit))
    except ValueError:
        pass  # no number
    try:
        moment = datetime.datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=zone)
        if not 1900 < moment.year < 9000:  # at its ends, the calendar has no room for time zones
            return None
        return (moment - EPOCH) // datetime.timedelta(microseconds=1)
    except (ValueError, OverflowError):
        return None
