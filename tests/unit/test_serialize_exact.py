"""Arguments come back exactly as they were, whatever they are: as JSON when it is exact, else pickled."""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import json
import math
import struct
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_ztask.serialize import JSON, MAX_DEPTH, PICKLE, dump_call, is_exact_json, load_call


class Word(str):
    """A subclass that JSON would flatten."""


class Count(int):
    pass


class Colour(enum.StrEnum):
    RED = "red"


class Size(enum.IntEnum):
    SMALL = 1


# Two lone surrogates side by side: JSON would join them into one character.
TWO_HALVES = chr(0xD83D) + chr(0xDE00)

Pair = collections.namedtuple("Pair", "left right")


def same(a: Any, b: Any) -> bool:
    """Equal in value and in every type inside; NaN is like NaN, 0.0 unlike -0.0."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return struct.pack("d", a) == struct.pack("d", b) or (math.isnan(a) and math.isnan(b))
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return len(a) == len(b) and all(same(x, y) and same(a[x], b[y]) for x, y in zip(a, b, strict=True))
    return bool(a == b)


def round_trip(*args: Any, **kwargs: Any) -> str:
    """The codec; fails unless both come back as they were."""
    payload = dump_call(args, kwargs)
    payload.args.encode()  # fit for any database
    payload.kwargs.encode()
    back, keywords = load_call(payload.codec, payload.args, payload.kwargs)
    assert same(list(back), list(args))
    assert same(keywords, kwargs)
    return payload.codec


texts = st.text(st.characters(codec=None, exclude_categories=[]), max_size=8)
atoms = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | texts
    | st.binary(max_size=4)
    | st.sampled_from([Word("w"), Count(3), Colour.RED, Size.SMALL, decimal.Decimal("1.10")])
    | st.datetimes()
)
values = st.recursive(
    atoms,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(texts | st.integers(), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.lists(values, max_size=3), st.dictionaries(st.sampled_from("abc"), values, max_size=2))
def test_whatever_is_given_comes_back_exactly(args: list[Any], kwargs: dict[str, Any]) -> None:
    round_trip(*args, **kwargs)


@given(values)
def test_json_is_chosen_only_when_json_gives_the_same_back(value: Any) -> None:
    if is_exact_json(value):
        assert same(json.loads(json.dumps(value)), value)


@pytest.mark.parametrize(
    "value",
    ids=lambda value: type(value).__name__,
    argvalues=[
        None,
        True,
        0,
        -1,
        10**3999,
        1.5,
        -0.0,
        5e-324,
        "",
        "Zürich 東京 🎈",
        "a\0b",
        "</script>",
        [],
        [[1, None], {"a": {"b": []}}],
        {"": ""},
    ],
)
def test_plain_values_travel_as_json_that_a_person_can_read(value: Any) -> None:
    assert round_trip(value, key=value) == JSON


def test_text_is_readable_in_the_row() -> None:
    assert dump_call(["Zürich 東京"], {"n": 1}).args == '["Zürich 東京"]'


@pytest.mark.parametrize(
    "value",
    ids=lambda value: type(value).__name__,
    argvalues=[
        (),
        (1, 2),
        [(1,)],
        {1: "a"},
        {None: 1},
        {(1, 2): 3},
        float("nan"),
        float("inf"),
        [float("-inf")],
        10**5000,
        -(10**5000),
        b"bytes",
        {1, 2},
        Word("w"),
        {Word("k"): 1},
        Count(1),
        Colour.RED,
        Size.SMALL,
        Pair(1, 2),
        collections.OrderedDict(a=1),
        decimal.Decimal("1.10"),
        datetime.datetime(2026, 11, 21, tzinfo=datetime.UTC),
        uuid.UUID(int=7),
        TWO_HALVES,
    ],
)
def test_what_json_would_change_travels_as_a_pickle(value: Any) -> None:
    assert not is_exact_json(value)
    assert round_trip(value, key=value) == PICKLE


@pytest.mark.parametrize("value", ["\ud800", "\udfff\ud800", TWO_HALVES])
def test_lone_surrogates_come_back_as_they_were(value: str) -> None:
    round_trip(value, [value], key={value: value})


@pytest.mark.parametrize(
    ("depth", "codec"), [(1, JSON), (MAX_DEPTH - 1, JSON), (MAX_DEPTH, PICKLE), (200, PICKLE)]
)
def test_nesting_deeper_than_every_decoder_takes_travels_as_a_pickle(depth: int, codec: str) -> None:
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    assert round_trip(value) == codec


def test_a_cycle_comes_back_as_a_cycle() -> None:
    knot: list[Any] = [1]
    knot.append(knot)
    payload = dump_call([knot], {})
    assert payload.codec == PICKLE
    [back], _ = load_call(payload.codec, payload.args, payload.kwargs)
    assert back[0] == 1
    assert back[1] is back


def test_the_order_of_keys_is_kept() -> None:
    payload = dump_call([], {"b": 1, "a": {"z": 1, "y": 2}})
    _, kwargs = load_call(payload.codec, payload.args, payload.kwargs)
    assert list(kwargs) == ["b", "a"]
    assert list(kwargs["a"]) == ["z", "y"]


def test_an_unknown_codec_names_those_that_are_known() -> None:
    with pytest.raises(ValueError, match=r"'yaml'.*json and pickle"):
        load_call("yaml", "[]", "{}")
