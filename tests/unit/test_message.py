"""What travels: whatever the bytes are, decode gives a message or raises one of two errors."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_ztask.errors import MacError, MessageError
from django_ztask.message import (
    MAX_BODY,
    MAX_MORE,
    MAX_NAMES,
    VERSION,
    Cancels,
    Control,
    Names,
    decode,
    encode,
    sign,
)

KEY, OTHER = b"k" * 32, b"o" * 32
ID = "01931f2c-7a3b-7f00-8000-000000000001"


def signed(body: bytes, key: bytes = KEY) -> list[bytes]:
    return [sign(body, key), body]


def packed(value: object) -> bytes:
    return bytes([VERSION]) + msgspec.msgpack.encode(value)


@pytest.mark.parametrize(
    "message",
    [
        Names([]),
        Names([ID]),
        Names([], 1_800_000_000.25),
        Names([ID, "an-old-id"], 0.0),
        Names([ID], None, 0.004),
        Names([f"{n:036}" for n in range(MAX_NAMES)], -1.5),
        Cancels([]),
        Cancels([ID, "an-old-id"]),
        Cancels([f"{n:036}" for n in range(MAX_NAMES)]),
    ],
)
def test_a_message_comes_back_as_it_was(message: Names | Cancels) -> None:
    assert decode(encode(message, KEY), [KEY]) == message


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9), max_size=20),
    st.none() | st.floats(allow_nan=False, allow_infinity=False),
)
def test_any_message_comes_back_as_it_was(ids: list[str], later: float | None) -> None:
    assert decode(encode(Names(ids, later), KEY), [KEY]) == Names(ids, later)


def test_a_message_is_two_frames_and_no_larger_than_a_node_reads() -> None:
    frames = encode(Names([ID] * MAX_NAMES, 1e300), KEY)
    assert len(frames) == 2
    assert len(frames[1]) <= MAX_BODY


def test_too_many_names_become_a_message_that_only_says_look() -> None:
    message = decode(encode(Names([ID] * (MAX_NAMES + 1), 5.0, 0.5), KEY), [KEY])
    assert message == Names([], 5.0, 0.5)
    assert decode(encode(Cancels([ID] * (MAX_NAMES + 1)), KEY), [KEY]) == Cancels([])


def test_a_key_kept_as_a_fallback_still_verifies() -> None:
    assert decode(encode(Names([ID]), OTHER), [KEY, OTHER]) == Names([ID])


@pytest.mark.parametrize("keys", [[], [KEY], [KEY, KEY]])
def test_another_key_raises_mac_error(keys: list[bytes]) -> None:
    with pytest.raises(MacError):
        decode(encode(Names([ID]), OTHER), keys)


@given(st.integers(0, 31), st.integers(0, 7))
def test_one_flipped_bit_of_the_mac_raises_mac_error(position: int, bit: int) -> None:
    mac, body = encode(Names([ID]), KEY)
    forged = bytearray(mac)
    forged[position] ^= 1 << bit
    with pytest.raises(MacError):
        decode([bytes(forged), body], [KEY])


@given(st.data())
def test_one_changed_byte_of_the_body_raises_mac_error(data: st.DataObject) -> None:
    mac, body = encode(Names([ID], 3.5), KEY)
    position = data.draw(st.integers(0, len(body) - 1))
    forged = bytearray(body)
    forged[position] ^= data.draw(st.integers(1, 255))
    with pytest.raises(MacError):
        decode([mac, bytes(forged)], [KEY])


@pytest.mark.parametrize("length", [0, 1, 16, 31, 33, 64])
def test_a_mac_of_another_length_is_refused_by_its_size(length: int) -> None:
    body = packed(Names([ID]))
    with pytest.raises(MessageError) as caught:
        decode([(sign(body, KEY) * 2)[:length], body], [KEY])
    assert caught.value.reason == "size"


@pytest.mark.parametrize("body", [b"", b"\x01", b"\x01" * (MAX_BODY + 1)])
def test_a_body_of_an_impossible_size_is_refused_before_its_mac_is_computed(body: bytes) -> None:
    with pytest.raises(MessageError) as caught:
        decode(signed(body), [KEY])
    assert caught.value.reason == "size"


@pytest.mark.parametrize("count", [0, 1, 3, 10_000])
def test_any_other_number_of_frames_is_refused(count: int) -> None:
    with pytest.raises(MessageError) as caught:
        decode([b"x"] * count, [KEY])
    assert caught.value.reason == "frames"


@pytest.mark.parametrize("version", [0, 2, 255])
def test_another_version_is_refused_and_both_are_named(version: int) -> None:
    body = bytes([version]) + packed(Names([ID]))[1:]
    with pytest.raises(MessageError, match=f"{version}.*{VERSION}") as caught:
        decode(signed(body), [KEY])
    assert caught.value.reason == "version"


@pytest.mark.parametrize(
    "value",
    [
        None,
        "names",
        ["names"],
        ["control", [ID]],
        ["names", ID],
        ["names", [1]],
        ["names", [""]],
        ["names", ["x" * 37]],
        ["names", ["x"] * (MAX_NAMES + 1)],
        ["names", [ID], "soon"],
        ["names", [ID], True],
        {"ids": [ID]},
    ],
)
def test_a_signed_body_of_another_shape_is_refused(value: object) -> None:
    with pytest.raises(MessageError) as caught:
        decode(signed(packed(value)), [KEY])
    assert caught.value.reason == "body"


@pytest.mark.parametrize("later", [float("nan"), float("inf"), float("-inf")])
def test_a_due_time_that_is_not_finite_is_refused(later: float) -> None:
    with pytest.raises(MessageError):
        decode(signed(packed(["names", [], later])), [KEY])


@pytest.mark.parametrize("more", [float("nan"), float("inf"), -0.001, MAX_MORE + 0.001, "1", None])
def test_a_time_to_look_again_that_makes_no_sense_is_refused(more: object) -> None:
    with pytest.raises(MessageError):
        decode(signed(packed(["names", [], None, more])), [KEY])


def test_a_message_of_a_caller_that_knows_no_time_to_look_again_is_read() -> None:
    assert decode(signed(packed(["names", [ID], None])), [KEY]) == Names([ID], None, 0.0)


@pytest.mark.parametrize(
    "body",
    [
        b"\x01\xdd\xff\xff\xff\xff",  # an array of four milliards
        b"\x01" + b"\x91" * 60_000,  # nested 60,000 deep
        b"\x01\x92\xa5names\x91\xa2\xff\xfe",  # no UTF-8
        packed(Names([ID]))[:-1],
        packed(Names([ID])) + b"\xc0",
    ],
)
def test_signed_garbage_raises_message_error(body: bytes) -> None:
    with pytest.raises(MessageError):
        decode(signed(body), [KEY])


@given(st.lists(st.binary(max_size=80), max_size=4))
def test_whatever_frames_arrive_only_two_errors_come_out(frames: list[bytes]) -> None:
    with pytest.raises((MacError, MessageError)):
        decode(frames, [KEY])


@given(st.binary(min_size=1, max_size=200))
def test_whatever_is_signed_only_a_message_or_two_errors_come_out(rest: bytes) -> None:
    try:
        message = decode(signed(bytes([VERSION]) + rest), [KEY])
    except (MacError, MessageError):
        return
    assert isinstance(message, Names | Control)
