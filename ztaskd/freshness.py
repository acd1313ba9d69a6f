"""Whether a control message may take effect: sent lately, and never seen before. Pure; `now` is passed in."""

from __future__ import annotations

import heapq

from django_ztask.errors import MessageError
from django_ztask.message import Control

# Seconds by which a sender's clock and ours may differ, and for which a nonce is remembered.
FRESH = 300.0

# Nonces remembered. With more control messages than this in FRESH seconds (33 a second), the oldest is
# forgotten, and what was sent no later than that one is stale from then on: the window becomes shorter,
# but nothing is taken twice. Only holders of the key can bring this about.
REMEMBERED = 10_000


class Freshness:
    """The nonces of the last minutes.

    They are lost with the process, so what was sent before it `began` (by a clock that is never set) is
    stale too.
    """

    def __init__(self, began: float) -> None:
        self.began = began
        self._seen: set[bytes] = set()
        self._by_age: list[tuple[float, bytes]] = []
        self._floor = float("-inf")  # when the latest was sent that had to be forgotten too early

    def check(self, message: Control, now: float, clock: float) -> None:
        """`now` in epoch seconds; `clock` is that of `began`. Raises MessageError: stale or replayed."""
        age = now - message.sent_at
        if abs(age) > FRESH:
            late = f"{abs(age):.0f} s {'ago' if age > 0 else 'ahead'}"
            raise MessageError("stale", f"sent {late} by this node's clock; {FRESH:.0f} s are allowed")
        if age > clock - self.began:
            raise MessageError("stale", "sent before this node was started")
        self._forget(now)
        if message.nonce in self._seen:
            raise MessageError("replayed", "this very message came before")
        if message.sent_at <= self._floor:
            raise MessageError("stale", "too many control messages: this one is older than those remembered")
        self._remember(message)

    def _forget(self, now: float) -> None:
        while self._by_age and now - self._by_age[0][0] > FRESH:
            sent_at, nonce = heapq.heappop(self._by_age)
            self._floor = max(self._floor, sent_at)  # the clock may be set back
            self._seen.discard(nonce)

    def _remember(self, message: Control) -> None:
        self._seen.add(message.nonce)
        heapq.heappush(self._by_age, (message.sent_at, message.nonce))
        if len(self._by_age) > REMEMBERED:
            self._floor, nonce = heapq.heappop(self._by_age)
            self._seen.discard(nonce)
