"""What django-ztask's rows hold is read, or refused with a reason: never run, never a surprise."""

from __future__ import annotations

import builtins
import contextlib
import datetime
import json
import os
import uuid
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from django_ztask import legacy
from tests.upgrade import pickles

UTC = datetime.UTC

# What python2.json holds: each as pickle.dumps() of Python 2.7.18 gave it, as text and as base64 of protocol 2.
PYTHON_2 = [
    ("/mnt2/pool",),
    ("caf\xe9", "\u20ac", "caf\xe9", "\xff\0\n'\"\\", "a\nb\\u0041\r"),
    (1, -1, 2**40, 2**70, -(2**70), 1, True, False, None, 1.5, 1e300, float("inf"), 1 + 2j),
    ([1, [2]], {"a": {"b": (1,)}}, {1, 2}, frozenset("x"), range(3), bytearray(b"ab\xff")),
    (
        datetime.datetime(2012, 6, 1, 10, 30, 5, 123456),
        datetime.date(2012, 6, 1),
        datetime.time(10, 30),
        datetime.timedelta(1, 2, 3),
    ),
    (Decimal("1.10"), uuid.UUID(int=123)),
    ("\U0001f600", "\x85\u2028 \x1c"),
    (datetime.datetime(2010, 10, 13, 10, 39, 10),) * 2,
]

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text(), inner),
)


@pytest.mark.parametrize(("args", "kwargs", "expected"), pickles.READ)
def test_reads(args, kwargs, expected):
    positional, named = legacy.read(args, kwargs)
    assert (tuple(positional), named) == expected
    assert repr((tuple(positional), named)) == repr(expected)  # the same types too


def test_reads_what_python_2_has_written():
    written = json.loads(Path(pickles.__file__).with_name("python2.json").read_text())
    for value, texts in zip(PYTHON_2, written, strict=True):
        for text in texts:
            assert repr(legacy.load(text)) == repr(value)


@pytest.mark.parametrize(("args", "kwargs", "reason"), pickles.UNREAD)
def test_refuses_with_a_reason(args, kwargs, reason):
    with pytest.raises(legacy.LegacyError) as caught:
        legacy.read(args, kwargs)
    assert reason in str(caught.value)


@given(st.lists(plain), st.dictionaries(st.text(), plain))
def test_every_plain_value_of_python_2_comes_back(args, kwargs):
    found = legacy.read(pickles.dumps(tuple(args)), pickles.dumps(kwargs))
    assert repr(found) == repr((tuple(args), kwargs))


@given(st.binary())
def test_byte_strings_are_utf_8_else_latin_1(data):
    try:
        expected = data.decode()
    except UnicodeDecodeError:
        expected = data.decode("latin-1")
    assert legacy.load(pickles.dumps([data])) == [expected]


@given(st.text() | st.binary().map(lambda data: data.decode("latin-1") + "."))
@example("c__builtin__\nset\n(tR.")
@example("\x80\x02\x8b\xff\xff\xff\x7f.")
def test_whatever_stands_there_nothing_but_legacy_error_is_raised(text):
    with contextlib.suppress(legacy.LegacyError):
        legacy.load(text)


def test_a_hostile_pickle_runs_nothing(tmp_path, monkeypatch):
    marker = tmp_path / "marker"
    names = ["os\nsystem", "posix\nsystem", "subprocess\nPopen", "__builtin__\neval", "builtins\nexec"]
    called = []
    monkeypatch.setattr(os, "system", called.append)
    monkeypatch.setattr(builtins, "eval", called.append)
    for name in names:
        for text in (f"c{name}\n(S'touch {marker}'\ntR.", f"(S'touch {marker}'\ni{name}\n."):
            with pytest.raises(legacy.LegacyError, match="it names"):
                legacy.load(text)
    assert not called
    assert not marker.exists()


def test_no_pickle_changes_what_the_next_one_gives():
    # BUILD sets attributes of whatever lies on the stack: here, of a function that stands for a name.
    with pytest.raises(legacy.LegacyError, match="sets the state"):
        legacy.load("cdecimal\nDecimal\n(dS'__defaults__'\nNsb.")
    assert str(legacy.load("cdecimal\nDecimal\n(S'1'\ntR.")) == "1"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2012-06-01 10:30:00", datetime.datetime(2012, 6, 1, 10, 30, tzinfo=UTC)),
        ("2012-06-01 10:30:00.000001", datetime.datetime(2012, 6, 1, 10, 30, 0, 1, tzinfo=UTC)),
        ("2012-06-01T12:30:00+02:00", datetime.datetime(2012, 6, 1, 10, 30, tzinfo=UTC)),
        ("2012-06-01 10:30:00+00", datetime.datetime(2012, 6, 1, 10, 30, tzinfo=UTC)),
        ("2012-06-01T10:30:00Z", datetime.datetime(2012, 6, 1, 10, 30, tzinfo=UTC)),
        ("2012-06-01", datetime.datetime(2012, 6, 1, tzinfo=UTC)),
        (" 20120601 ", datetime.datetime(2012, 6, 1, tzinfo=UTC)),
        ("1338546600", datetime.datetime(2012, 6, 1, 10, 30, tzinfo=UTC)),
        ("1338546600.25", datetime.datetime(2012, 6, 1, 10, 30, 0, 250000, tzinfo=UTC)),
        ("1338546600000", datetime.datetime(2012, 6, 1, 10, 30, tzinfo=UTC)),
        ("1338546600000000", datetime.datetime(2012, 6, 1, 10, 30, tzinfo=UTC)),
    ],
)
def test_times(text, expected):
    assert legacy.micros(text, UTC) == (expected - legacy.EPOCH) // datetime.timedelta(microseconds=1)


@pytest.mark.parametrize(
    "text", [None, "", "yesterday", "nan", "inf", "-1", "12", "0000-00-00 00:00:00", "9999-12-31 23:59-12:00"]
)
def test_what_is_no_time_is_none(text):
    assert legacy.micros(text, UTC) is None


def test_a_time_without_a_zone_is_in_the_given_one():
    zone = datetime.timezone(datetime.timedelta(hours=2))
    assert legacy.micros("2012-06-01 12:30:00", zone) == legacy.micros("2012-06-01 10:30:00", UTC)


@given(st.datetimes(min_value=datetime.datetime(1970, 1, 1), max_value=datetime.datetime(2100, 1, 1)))
def test_every_time_comes_back(moment):
    micros = legacy.micros(str(moment), UTC)
    assert datetime.datetime.fromtimestamp(micros / 1e6, UTC).replace(tzinfo=None) == moment
