"""Messages that are almost right: valid ones of both kinds, then changed in their values, bytes and frames.

All dice are `random`'s: a seed, or hypothesis, decides what comes out (but for the times, which are now's).
"""

from __future__ import annotations

import time
from random import Random
from typing import Any

import msgspec

from django_ztask.message import MAX_BODY, VERSION, sign

COMMANDS = ["ping", "ping", "ping", "pong", "", "ping\0", "x" * 65, "__init__"]
TIMES = [None, 0.0, -1.0, 1e308, float("nan"), float("inf"), True, "soon", 2**63]

# Beginnings that promise more than there is, nest, or are not msgpack at all.
MAGIC = [
    b"\xdd\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"\xdb\x7f\xff\xff\xff",
    b"\xc9\x00\x00\x00\x04\xff",
    b"\xd7\xff" + b"\xff" * 8,
    b"\xc1",
    b"\x91" * 3000,
    b"\x81\xa1a" * 1500,
    b"\xa2\xff\xfe",
    b"\xcb\x7f\xf8\0\0\0\0\0\0",
    b"",
]


class Mutator:
    """Makes frames, signed with `key` or not."""

    def __init__(self, random: Random, key: bytes) -> None:
        self.random = random
        self.key = key
        self.sent: list[list[bytes]] = []  # to be sent again

    def frames(self) -> list[bytes]:
        random = self.random
        if self.sent and random.random() < 0.05:
            return random.choice(self.sent)
        value = self._control() if random.random() < 0.5 else self._names()
        if random.random() < 0.25:
            value = self.changed(
                value, {"names": "control", "control": "names", "cancels": "names"}[value[0]]
            )
        body = bytes([VERSION]) + msgspec.msgpack.encode(value)
        mac = sign(body, self.key)
        if random.random() < 0.3:
            body = self.spoiled(body)
        if random.random() < 0.7:
            mac = sign(body, self.key)
        frames = [mac, body]
        if random.random() < 0.15:
            frames = self._shuffled(frames)
        self.sent = [*self.sent[-20:], frames]
        return frames

    def noise(self) -> bytes:
        """Bytes that nobody signed."""
        return bytes(self.random.getrandbits(8) for _ in range(self.random.choice([0, 1, 20, 32, 64, 300])))

    def _names(self) -> list[Any]:
        count = self.random.choice([0, 1, 1, 2, 20, 1000, 1001])
        ids = [self._word() for _ in range(min(count, 20))] * (count // 20 or 1)
        if self.random.random() < 0.9:
            ids = [(name or "id")[:36] for name in ids]
        if self.random.random() < 0.2:
            return ["cancels", ids]
        later = self.random.choice([None, None, None, time.time() + 5, *TIMES[1:4]])
        return ["names", ids, later, *self.random.choice([[], [], [0.0], [0.004], [2.0], [-1.0], [None]])]

    def _control(self) -> list[Any]:
        random = self.random
        sent_at = time.time() + random.choice([0, 0, 0, -299, 299, 301, -301, 1e9])
        arguments = {self._word(): self.value(3) for _ in range(random.choice([0, 0, 1, 3]))}
        return ["control", random.choice(COMMANDS), sent_at, random.getrandbits(256).to_bytes(32), arguments]

    def _word(self) -> str:
        letters = "abc-019\0\n'\"é\U0001f40d"
        return "".join(self.random.choice(letters) for _ in range(self.random.choice([0, 1, 8, 36, 37])))

    def value(self, depth: int) -> Any:
        random = self.random
        kind = random.randrange(8 if depth else 6)
        if kind == 6:
            return [self.value(depth - 1) for _ in range(random.randrange(4))]
        if kind == 7:
            return {self._word(): self.value(depth - 1) for _ in range(random.randrange(4))}
        leaves = [self._word(), random.choice(TIMES), random.getrandbits(63), self.noise(), None]
        return [*leaves, msgspec.msgpack.Ext(random.randrange(-128, 128), self.noise())][kind]

    def changed(self, value: list[Any], other: str) -> list[Any]:
        """One element more, fewer, or another; or of the `other` kind."""
        place = self.random.randrange(len(value))
        return [
            [*value[:place], self.value(3), *value[place + 1 :]],
            value[:place],
            [*value, self.value(3)],
            [other, *value[1:]],
        ][self.random.randrange(4)]

    def spoiled(self, body: bytes) -> bytes:
        random = self.random
        for _ in range(random.choice([1, 1, 2, 8])):
            start = random.randrange(len(body) + 1)
            end = min(len(body), start + random.choice([0, 1, 1, 4, 40]))
            new = random.choice([self.noise()[:4], random.choice(MAGIC), body[start:end] * 2, b""])
            body = body[:start] + new + body[end:]
        if random.random() < 0.02:
            body += bytes(MAX_BODY)
        return body

    def _shuffled(self, frames: list[bytes]) -> list[bytes]:
        mac, body = frames
        choices = [[], [b""], [mac], [body], [body, mac], [b"", mac, body], [mac, body, b""], [mac, b""]]
        choices += [[mac[:-1], body], [mac + b"\0", body], [b"", body], [mac, body] * 50, [b""] * 5000]
        return self.random.choice(choices)
