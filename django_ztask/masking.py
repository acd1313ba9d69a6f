"""@task(sensitive=...): which arguments of a call nobody is to see, and texts without them.

A call's hidden arguments are positions (int) and keywords (str): so they stand in its row, for those who do not know
the function. The stored arguments themselves are signed, not encrypted: whoever reads the table sees them.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

MASK = "***"

# Shorter ones would mask half of every text.
LEAST = 4

# Values inside of one argument that are looked at.
MOST = 1000

# Of one call: positions, and keywords.
Hidden = Collection[int | str]


def check(names: Sequence[str], signature: inspect.Signature) -> None:
    """Raises ValueError for a name that the function has no parameter for."""
    parameters = signature.parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    for name in names:
        if name not in parameters:
            known = ", ".join(parameters) or "none"
            raise ValueError(f"sensitive: the function has no parameter {name!r}; it has: {known}")


def hidden(
    names: Collection[str], signature: inspect.Signature, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> list[int | str]:
    """Which arguments of this call are sensitive."""
    if not names:
        return []
    found: list[int | str] = []
    rest, others, known = False, False, set()
    positional = []
    for name, parameter in signature.parameters.items():
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            positional.append(name)
        elif parameter.kind is parameter.VAR_POSITIONAL:
            rest = name in names
        if parameter.kind is parameter.VAR_KEYWORD:
            others = name in names
        elif parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            known.add(name)
    for n in range(len(args)):
        if positional[n] in names if n < len(positional) else rest:
            found.append(n)
    return found + [name for name in kwargs if name in names or (others and name not in known)]


def of_meta(meta: Any) -> tuple[int | str, ...]:
    """What a row's column `meta`, decoded or not, says of them."""
    if isinstance(meta, str):
        try:
            meta = json.loads(meta)
        except (ValueError, RecursionError):
            return ()
    found = meta.get("sensitive") if isinstance(meta, dict) else None
    return tuple(item for item in found if type(item) in (int, str)) if isinstance(found, list) else ()


def masked(codec: Any, args: Any, kwargs: Any, hidden: Hidden) -> tuple[Any, Any]:
    """The texts of a row's arguments, to be shown. (Those of other codecs are not shown anyway.)"""
    if not hidden or codec != "json":
        return args, kwargs
    try:
        shown, named = json.loads(args), json.loads(kwargs)
        if not isinstance(shown, list):
            raise TypeError
        shown = [MASK if n in hidden else value for n, value in enumerate(shown)]
        named = {name: MASK if name in hidden else value for name, value in named.items()}
    except (ValueError, TypeError, AttributeError, RecursionError):  # somebody has edited the row
        return json.dumps(MASK), json.dumps(MASK)
    return tuple(json.dumps(each, ensure_ascii=False, separators=(",", ":")) for each in (shown, named))  # type: ignore[return-value]


class Secrets:
    """The strings in a call's hidden arguments. Calling it gives a text without them."""

    _found: Sequence[str] = ()

    def add(self, args: Sequence[Any], kwargs: Mapping[str, Any], hidden: Hidden) -> None:
        """Those in the arguments themselves, and in lists and dicts of theirs."""
        if not hidden:
            return
        values = [value for n, value in enumerate(args) if n in hidden]
        values += [value for name, value in kwargs.items() if name in hidden]
        found = set(self._found)
        for text in _strings(values):
            # As they are, line by line (a traceback may indent them), and as repr() and JSON show them.
            found |= {text, *text.splitlines(), repr(text)[1:-1], json.dumps(text)[1:-1]}
        self._found = sorted((text for text in found if len(text) >= LEAST), key=len, reverse=True)

    def __call__(self, text: str) -> str:
        for secret in self._found:
            text = text.replace(secret, MASK)
        return text

    def __bool__(self) -> bool:
        return bool(self._found)


def _strings(values: list[Any]) -> Iterator[str]:
    waiting, seen = list(values), 0
    while waiting and seen < MOST:
        value, seen = waiting.pop(), seen + 1
        if isinstance(value, str):
            yield str(value)
        elif isinstance(value, bytes | bytearray):
            yield from (value.decode("utf-8", "replace"), repr(bytes(value))[2:-1])
        elif isinstance(value, list | tuple | set | frozenset):
            waiting.extend(value)
        elif isinstance(value, dict):
            waiting.extend(value.values())
