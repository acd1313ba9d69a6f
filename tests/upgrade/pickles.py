"""Pickles as Python 2 wrote them: real ones by hand, and a writer of protocol 0 for any plain value."""

from __future__ import annotations

import base64
import datetime
import uuid
from decimal import Decimal
from typing import Any

NO_ARGS, NO_KWARGS = "(t.", "(dp0\n."

DATETIME = (
    "(cdatetime\ndatetime\np0\n(S'\\x07\\xdc\\x06\\x01\\n\\x1e\\x00\\x00\\x00\\x00'\np1\ntp2\nRp3\ntp4\n."
)
UUID = (
    "(ccopy_reg\n_reconstructor\np0\n(cuuid\nUUID\np1\nc__builtin__\nobject\np2\nNtp3\nRp4\n"
    "(dp5\nS'int'\np6\nL123L\nsbtp7\n."
)
# The fork's: base64 of protocol 2, broken into lines as encodestring() does.
FORK_ARGS = base64.encodebytes(b"\x80\x02U\x0a/mnt2/poolq\x00K\x05M,\x01\x87q\x01.").decode()
FORK_UNICODE = base64.b64encode(b"\x80\x02X\x05\x00\x00\x00caf\xc3\xa9q\x00\x85q\x01.").decode()
FORK_UUID = base64.b64encode(
    b"\x80\x02cuuid\nUUID\nq\x00)\x81q\x01}q\x02U\x03intq\x03K{sb\x85q\x04."
).decode()
FORK_BINARY = base64.b64encode(b"\x80\x02U\x06\x00\xff\x80abcq\x00\x85q\x01.").decode()

# (args, kwargs, what the function gets)
READ: list[tuple[str, str, tuple[tuple[Any, ...], dict[str, Any]]]] = [
    (
        "(S'/mnt2/pool'\np0\ntp1\n.",
        "(dp0\nS'convert'\np1\nVraid0\np2\nsS'force'\np3\nI00\ns.",
        (("/mnt2/pool",), {"convert": "raid0", "force": False}),
    ),
    (NO_ARGS, NO_KWARGS, ((), {})),
    ("(I1\nI01\nL12345678901234567890L\nF1.5\nNtp0\n.", "(dp0\n.", ((1, True, 12345678901234567890, 1.5, None), {})),
    ("(S'caf\\xc3\\xa9'\np0\nS'caf\\xe9'\np1\nVcaf\u00e9\np2\nV\\u20ac\np3\ntp4\n.", NO_KWARGS,
     (("caf\u00e9", "caf\u00e9", "caf\u00e9", "\u20ac"), {})),
    ('(S"it\'s"\np0\nS\'a\\nb\\x00\\\\\'\np1\ntp2\n.', NO_KWARGS, (("it's", "a\nb\0\\"), {})),
    (DATETIME, NO_KWARGS, ((datetime.datetime(2012, 6, 1, 10, 30),), {})),
    (UUID, NO_KWARGS, ((uuid.UUID(int=123),), {})),
    ("(cdecimal\nDecimal\np0\n(S'1.10'\np1\ntp2\nRp3\ntp4\n.", NO_KWARGS, ((Decimal("1.10"),), {})),
    ("(cdatetime\ndate\np0\n(S'\\x07\\xdc\\x06\\x01'\np1\ntp2\nRp3\ncdatetime\ntimedelta\np4\n"
     "(I1\nI2\nI3\ntp5\nRp6\ntp7\n.", NO_KWARGS,
     ((datetime.date(2012, 6, 1), datetime.timedelta(1, 2, 3)), {})),
    ("(cdatetime\ndatetime\np0\n(S'\\x07\\xdc\\x06\\x01\\n\\x1e\\x00\\x00\\x00\\x00'\np1\ncpytz\n_UTC\np2\n"
     "(tRp3\ntp4\nRp5\ntp6\n.", NO_KWARGS,
     ((datetime.datetime(2012, 6, 1, 10, 30, tzinfo=datetime.UTC),), {})),
    ("(c__builtin__\nset\np0\n((lp1\nS'a'\np2\natp3\nRp4\n(lp5\nI1\na(I2\nI3\ntp6\natp7\n.", NO_KWARGS,
     (({"a"}, [1, (2, 3)]), {})),
    ("(lp0\nI1\na.", NO_KWARGS, ((1,), {})),
    (FORK_ARGS, base64.b64encode(b"\x80\x02}q\x00U\x05forceq\x01\x89s.").decode(),
     (("/mnt2/pool", 5, 300), {"force": False})),
    (FORK_UNICODE, NO_KWARGS, (("caf\u00e9",), {})),
    (FORK_UUID, NO_KWARGS, ((uuid.UUID(int=123),), {})),
    (FORK_BINARY, NO_KWARGS, (("\0\xff\x80abc",), {})),
]  # fmt: skip


def hostile(command: str) -> str:
    """A pickle that runs a shell command in whoever loads it."""
    return f"(cposix\nsystem\np0\n(S'{command}'\np1\ntp2\nRp3\ntp4\n."


# (args, kwargs, a word of the reason)
UNREAD: list[tuple[str, str, str]] = [
    ("", NO_KWARGS, "args: it is empty"),
    ("not a pickle", NO_KWARGS, "neither a pickle"),
    ("(S'/mnt2/po", NO_KWARGS, "neither a pickle"),
    ("(S'/mnt2/po.", NO_KWARGS, "no pickle of Python 2"),
    (NO_ARGS, "[1]", "kwargs: "),
    (NO_ARGS, "(lp0\n.", "kwargs: it holds no names"),
    (NO_ARGS, "(dp0\nI1\nI2\ns.", "kwargs: it holds no names"),
    ("I5\n.", NO_KWARGS, "args: it holds no list but 5"),
    ("(cshop.models\nOrder\np0\n(tRp1\ntp2\n.", NO_KWARGS, "it names shop.models.Order"),
    ("(i__main__\nOld\np0\n(dp1\nbtp2\n.", NO_KWARGS, "it names __main__.Old"),
    ("(c__builtin__\neval\np0\n(S'1'\ntRtp1\n.", NO_KWARGS, "it names __builtin__.eval"),
    ("(c__builtin__\nset\np0\ntp1\n.", NO_KWARGS, "it holds <class 'set'>"),
    ("(c__builtin__\nset\np0\n(dp1\nS'real'\nI1\nsbtp2\n.", NO_KWARGS, "sets the state"),
    ("(lp0\ng0\na.", NO_KWARGS, "contains itself"),
    ("Pelsewhere\n.", NO_KWARGS, "opcode 'P'"),
    ("(dp0\nS'caf\\xc3\\xa9'\nI1\nsS'caf\\xe9'\nI2\ns.", NO_KWARGS, "the same text"),
    ("(lp0\n" + "".join(f"0(lp{n + 1}\ng{n}\nag{n}\na" for n in range(60)) + ".", NO_KWARGS, "huge"),
    (base64.b64encode(b"\x80\x02r\xff\xff\xff\x7f.").decode(), NO_KWARGS, "no pickle"),
    (base64.b64encode(b"cno\0thing\nhere\n.").decode(), NO_KWARGS, "it names"),
    (base64.b64encode(b"\x80\x04\x95").decode(), NO_KWARGS, "opcode"),
]


def dumps(value: Any) -> str:
    """What Python 2's pickle.dumps(value) gave, without the memo (which it is free to leave out)."""
    return _dump(value) + "."


def _dump(value: Any) -> str:
    if value is None:
        return "N"
    if isinstance(value, bool):
        return f"I0{int(value)}\n"
    if isinstance(value, int):
        return f"I{value}\n" if abs(value) < 2**63 else f"L{value}L\n"
    if isinstance(value, float):
        return f"F{value!r}\n"
    if isinstance(value, bytes):  # Python 2's str
        return f"S{value!r}\n".replace("Sb", "S", 1)
    if isinstance(value, str):  # Python 2's unicode
        escaped = value.replace("\\", "\\u005c").replace("\0", "\\u0000").replace("\n", "\\u000a")
        return "V" + escaped.encode("raw-unicode-escape").decode("latin-1") + "\n"
    if isinstance(value, list):
        return "(l" + "".join(_dump(item) + "a" for item in value)
    if isinstance(value, tuple):
        return "(" + "".join(map(_dump, value)) + "t"
    return "(d" + "".join(_dump(key) + _dump(item) + "s" for key, item in value.items())
