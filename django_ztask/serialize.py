"""Arguments and results to text and back, as pure functions: exact JSON, else a pickle in base64.

JSON is used only when every value comes back exactly as it was (type and value), so that a person can
read it in SQL; everything else picklable travels as a pickle. A pickle is loaded only after its MAC was
verified: callers verify first (`verify`), then decode.
"""

from __future__ import annotations

import base64
import hmac
import io
import json
import math
import pickle
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import FunctionType
from typing import Any

import msgspec

from django_ztask.errors import ArgumentError, MacError

JSON = "json"
PICKLE = "pickle"
# Of rows from django-ztask whose arguments migration 0003 could not read; they are never decoded.
LEGACY = "legacy"

# Nesting that exact JSON carries; deeper values go as a pickle, so that no decoder meets its recursion limit.
MAX_DEPTH = 50

_ATOMS = frozenset({bool, type(None)})
_INT_LIMIT = 10**4000  # Python refuses to read decimal integers of more than 4300 digits

_encode = msgspec.json.Encoder().encode

# Characters of a result that a row carries. A batch of 200 ends must stay below the 1 GB of a statement.
RESULT_LIMIT = 4 * 2**20


class Payload(msgspec.Struct, frozen=True, gc=False):
    """The text of one call's arguments, as it stands in the row."""

    codec: str
    args: str
    kwargs: str


def is_exact_json(value: object) -> bool:
    """True when JSON gives back exactly this value: no tuples, subclasses, NaN, or keys that are not str."""
    stack: list[tuple[object, int]] = [(value, 0)]
    while stack:
        item, depth = stack.pop()
        kind = type(item)
        if kind in _ATOMS:
            continue
        if kind is str:
            if not _is_text(item):
                return False
            continue
        if kind is int:
            if not -_INT_LIMIT < item < _INT_LIMIT:  # type: ignore[operator]
                return False
        elif kind is float:
            if not math.isfinite(item):  # type: ignore[arg-type]
                return False
        elif depth >= MAX_DEPTH:
            return False
        elif kind is list:
            stack.extend((child, depth + 1) for child in item)  # type: ignore[attr-defined]
        elif kind is dict:
            if any(type(key) is not str or not _is_text(key) for key in item):  # type: ignore[attr-defined]
                return False
            stack.extend((child, depth + 1) for child in item.values())  # type: ignore[attr-defined]
        else:
            return False
    return True


def _is_text(value: Any) -> bool:
    """False for surrogates: no database stores them, and JSON joins a pair of them."""
    try:
        return bool(value.isascii() or value.encode())
    except UnicodeEncodeError:
        return False


def to_json(value: object) -> str:
    """JSON text of an exact value, readable as it stands."""
    try:
        return _encode(value).decode() if value or value.__class__ is not dict else "{}"
    except OverflowError:  # it knows no whole numbers beyond 64 bits
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def dump_call(args: Sequence[Any], kwargs: Mapping[str, Any], *, allow_pickle: bool = True) -> Payload:
    """The text of a call's arguments.

    Raises ArgumentError, naming the argument, for what neither JSON nor (when allowed) pickle can carry.
    """
    arguments, keywords = list(args), dict(kwargs)
    if is_exact_json(arguments) and (not keywords or is_exact_json(keywords)):
        return Payload(JSON, to_json(arguments), to_json(keywords))
    if not allow_pickle:
        raise ArgumentError(_name_guilty(args, kwargs, _refuse_inexact))
    try:
        return Payload(PICKLE, to_pickle(tuple(args)), to_pickle(keywords))
    except Exception as error:  # pickling runs the arguments' own code: anything may come
        raise ArgumentError(_name_guilty(args, kwargs, to_pickle)) from error


def load_call(codec: str, args: str, kwargs: str) -> tuple[Sequence[Any], dict[str, Any]]:
    """The arguments in a row's text. Only for rows whose MAC was verified."""
    if codec == JSON:
        return json.loads(args), {} if kwargs == "{}" else json.loads(kwargs)
    if codec == PICKLE:
        return from_pickle(args), from_pickle(kwargs)
    raise ValueError(f"unknown codec {codec!r}; this version knows json and pickle")


def dump_result(
    value: object,
    task_id: str,
    key: bytes,
    *,
    allow_pickle: bool = True,
    mask: Callable[[str], str] = str,
) -> str | None:
    """The text of a result: NULL for None, JSON, `pickle:<MAC>:<base64>`, or `repr:` and what it looked
    like (after `mask`) when it cannot be carried (the task did its work: its result being lost is no failure)."""
    if value is None:
        return None
    if is_exact_json(value):
        return _of_length(to_json(value))
    try:
        if not allow_pickle:
            raise TypeError("pickle is switched off")
        text = to_pickle(value)
        return _of_length(f"pickle:{_digest(key, [task_id, text])}:{text}")
    except BaseException:  # its own __reduce__ may raise anything
        return "repr:" + clean(mask(_safe_repr(value)))[:1000]


def _of_length(text: str) -> str:
    if len(text) <= RESULT_LIMIT:
        return text
    return f"repr:its text has {len(text)} characters, more than the {RESULT_LIMIT} that a row carries"


def load_result(text: str | None, task_id: str, keys: Iterable[bytes], *, allow_pickle: bool = True) -> Any:
    """The value `dump_result` made `text` of. Raises MacError, or ValueError for a value not carried."""
    if text is None:
        return None
    if text.startswith("repr:"):
        raise ValueError(f"it could not be serialised: {text[5:]}")
    if text.startswith("pickle:"):
        if not allow_pickle:
            raise ValueError("it is a pickle, and ZTASKD_PICKLE is False")
        _, mac, encoded = text.split(":", 2)
        if not any(_same(mac, _digest(key, [task_id, encoded])) for key in keys):
            raise MacError(f"the result of task {task_id} carries a MAC that does not verify")
        return from_pickle(encoded)
    return json.loads(text)


def mac(task_id: str, function_name: str, payload: Payload, key: bytes) -> str:
    """The MAC of a row: what runs, with what, under which id. 64 hex digits."""
    return _digest(key, [task_id, function_name, payload.codec, payload.args, payload.kwargs])


def verify(task_id: str, function_name: str, payload: Payload, given: str, keys: Iterable[bytes]) -> None:
    """Raises MacError unless one of `keys` made the row's MAC."""
    texts = (task_id, function_name, payload.codec, payload.args, payload.kwargs, given)
    if {*map(type, texts)} != {str}:  # SQLite keeps a BLOB in a column of text
        raise MacError(f"the row of task {task_id} ({function_name}) holds what is no text: it was edited")
    for key in keys:
        if _same(given, mac(task_id, function_name, payload, key)):
            return
    raise MacError(
        f"the MAC of task {task_id} ({function_name}) does not verify: the row was edited, or made with "
        "another SECRET_KEY (keep the old one in SECRET_KEY_FALLBACKS)"
    )


def clean(text: str) -> str:
    """`text` without what a database refuses in text: NUL characters and lone surrogates."""
    return text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()


def to_pickle(value: object) -> str:
    """Base64 of a pickle. Refuses what only the caller's own `__main__` could load again."""
    data = pickle.dumps(value, protocol=5)
    if b"__main__" in data:
        _FindMain(io.BytesIO(), protocol=5).dump(value)
    return base64.b64encode(data).decode("ascii")


def from_pickle(text: str) -> Any:
    """Only for text whose MAC was verified: a pickle can call anything."""
    return pickle.loads(base64.b64decode(text))  # noqa: S301 - its MAC was verified


class _FindMain(pickle.Pickler):
    """Refuses classes and functions of `__main__`: in the node that is another module."""

    def persistent_id(self, value: Any) -> None:
        if isinstance(value, type | FunctionType) and value.__module__ == "__main__":
            raise TypeError(
                f"{value.__qualname__} is defined in the script that runs as __main__: move it to a module"
            )


def _digest(key: bytes, parts: Sequence[str]) -> str:
    encoded = [part.encode("utf-8", "surrogatepass") for part in parts]
    message = b"".join([len(part).to_bytes(8, "big") + part for part in encoded])
    return hmac.digest(key, message, "sha256").hex()


def _same(given: str, ours: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), ours.encode())


def _refuse_inexact(value: object) -> None:
    if not is_exact_json(value):
        raise TypeError("JSON does not carry it exactly, and ZTASKD_PICKLE is False")


def _name_guilty(args: Sequence[Any], kwargs: Mapping[str, Any], probe: Any) -> str:
    named = [(f"argument {n}", value) for n, value in enumerate(args, 1)]
    named += [(f"argument {name!r}", value) for name, value in kwargs.items()]
    for name, value in named:
        try:
            probe(value)
        except Exception as error:
            return f"{name} ({type(value).__qualname__}) cannot be serialised: {_safe_repr(error)}"
    return "the arguments cannot be serialised together"


def _safe_repr(value: object) -> str:
    try:
        return str(value) if isinstance(value, Exception) else repr(value)
    except BaseException:
        return f"<{type(value).__qualname__}>"
