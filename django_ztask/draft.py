"""A call on its way to become a row: what of it must be kept as it was at the moment of the call."""

from __future__ import annotations

from typing import Any

import msgspec

from django_ztask import serialize
from django_ztask.options import Options
from django_ztask.rows import NewTask
from django_ztask.serialize import Payload


class Draft(msgspec.Struct, frozen=True):
    """`created` and `due` are in epoch seconds; `is_later` says that the call gave its due time; `hidden` are its arguments that
    nobody is to see."""

    id: str
    function_name: str
    payload: Payload
    options: Options
    retry_count: int
    created: float
    due: float
    is_later: bool
    hidden: list[int | str] = []

    def signed(self, key: bytes) -> NewTask:
        """The task, with its MAC."""
        mac = serialize.mac(self.id, self.function_name, self.payload, key)
        policy: dict[str, Any] = self.options.policy()
        if self.hidden:
            policy["sensitive"] = self.hidden
        return NewTask(
            self.id,
            self.function_name,
            self.payload,
            mac,
            self.created,
            self.due,
            self.options.queue,
            self.options.priority,
            self.retry_count,
            policy,
            self.options.pool or "",
        )
