"""What `extra={...}` may hold, and what a line in JSON makes of it."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from django.utils.safestring import mark_safe

from ztaskd import jsonlines


class Stubborn:
    def __repr__(self) -> str:
        raise RuntimeError("no")


ENDLESS: list[Any] = []
ENDLESS.append(ENDLESS)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("text", "text"),
        (7, 7),
        (1.5, 1.5),
        (None, None),
        (True, True),
        ({"a": [1, {"b": None}]}, {"a": [1, {"b": None}]}),
        ((1, 2), [1, 2]),
        (mark_safe("<b>"), "<b>"),
        (b"\x00ab", "b'\\x00ab'"),
        (ValueError("no"), "ValueError('no')"),
        (2**70, str(2**70)),
        (float("nan"), None),
        ("a\ud800b", "a\\ud800b"),
        ({"deep": "a\ud800b"}, "{'deep': 'a\\ud800b'}"),
        (ENDLESS, "[[...]]"),
        (Stubborn(), "<Stubborn without a repr()>"),
    ],
)
def test_extra_fields_are_values_of_json_or_their_repr(value: Any, shown: Any) -> None:
    record = logging.makeLogRecord({"msg": "x", "given": value})
    assert json.loads(jsonlines.JsonLines(None).format(record))["given"] == shown
