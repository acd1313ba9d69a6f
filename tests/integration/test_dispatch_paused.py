"""Which rows are asked for while those of a paused queue are put aside."""

from __future__ import annotations

from tests.integration.test_dispatch import (
    NONE,
    Dispatcher,
    Requests,
    asked,
    brought,
    dispatcher,
    end,
)
from ztaskd.lanes import SLOTS

__all__ = ["asked", "dispatcher"]


def test_names_find_room_beside_looks_that_put_rows_aside(dispatcher: Dispatcher, asked: Requests) -> None:
    dispatcher.look(anyway=True)
    dispatcher.named(["a"], None)
    assert (asked.looks, asked.claims) == ([({SLOTS: 2}, NONE)], []), (
        "the look may bring as much as there is room for"
    )
    brought(dispatcher, looked=True, more={SLOTS}, aside=500)
    assert asked.looks[1:] == [({SLOTS: 1}, NONE)]
    dispatcher.named(["b"], None)
    assert asked.claims == [["b"]]
    [task] = brought(dispatcher, "", named=1)
    end(dispatcher, task)
    brought(dispatcher, looked=True)
    dispatcher.look(anyway=True)
    assert asked.looks[-1][0][SLOTS] >= 2, "all of the room"
