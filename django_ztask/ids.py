"""Task ids: UUIDs of version 7 (RFC 9562) that order by time. Pure but for the clock and os.urandom."""

from __future__ import annotations

import os
import threading
import time

_lock = threading.Lock()
_last = 0

# A fork may happen while another thread holds the lock: the child gets a fresh one. (It keeps `_last`.)
os.register_at_fork(after_in_child=lambda: globals().update(_lock=threading.Lock()))


def new(how_many: int = 1) -> list[tuple[str, int]]:
    """Ids with their `created` (epoch microseconds), both strictly increasing within a process.

    The microsecond stands in the first 60 bits of the id (48 bits of milliseconds, then thousandths), so
    that the order of ids is the order of calls; the other 62 bits are random.
    """
    global _last
    with _lock:
        first = max(time.time_ns() // 1000, _last + 1)
        _last = first + how_many - 1
    random = os.urandom(8 * how_many)
    if how_many == 1:
        return [(_format(first, int.from_bytes(random, "big")), first)]
    return [
        (_format(first + n, int.from_bytes(random[8 * n : 8 * n + 8], "big")), first + n)
        for n in range(how_many)
    ]


def _format(micros: int, random: int) -> str:
    millis, rest = divmod(micros, 1000)
    value = millis << 80 | 0x7 << 76 | (rest * 4) << 64 | 0b10 << 62 | random >> 2
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
