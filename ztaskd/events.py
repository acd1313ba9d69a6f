"""Named events: code says what happened, whoever subscribed decides what to do with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Subscriber = Callable[[str, dict[str, Any]], None]

_subscribers: list[Subscriber] = []


def subscribe(subscriber: Subscriber) -> None:
    _subscribers.append(subscriber)


def emit(event: str, **fields: Any) -> None:
    """Tells all subscribers, on the thread that calls. A subscriber must not raise."""
    for subscriber in _subscribers:
        subscriber(event, fields)
