"""Control messages and replies: as strict as names, and told apart from them even when nothing else is right."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from django_ztask.errors import MacError, MessageError
from django_ztask.message import (
    MAX_BODY,
    MAX_REPLY,
    NONCE_LENGTH,
    VERSION,
    Cancels,
    Control,
    Names,
    Reply,
    claims_control,
    control,
    decode,
    decode_reply,
    encode,
    sign,
)
from tests.fuzz.mutate import Mutator

KEY, OTHER = b"k" * 32, b"o" * 32
PING = Control("ping", 1_800_000_000.25, b"n" * NONCE_LENGTH)


def signed(value: object) -> list[bytes]:
    body = bytes([VERSION]) + msgspec.msgpack.encode(value)
    return [sign(body, KEY), body]


@pytest.mark.parametrize(
    "message", [PING, Control("x" * 64, 0.0, bytes(NONCE_LENGTH), {"ids": ["a"], "deep": [[[{"b": None}]]]})]
)
def test_a_control_message_comes_back_as_it_was(message: Control) -> None:
    assert decode(encode(message, KEY), [KEY]) == message


@pytest.mark.parametrize(
    "reply", [Reply(b"m" * 32), Reply(b"", "stale", "sent 400 s ago"), Reply(b"m" * 32, value={"pid": 42})]
)
def test_a_reply_comes_back_as_it_was(reply: Reply) -> None:
    assert decode_reply(encode(reply, KEY), [OTHER, KEY]) == reply


def test_two_control_messages_have_two_nonces() -> None:
    one, other = control("ping", 5.0), control("ping", 5.0, {"a": 1})
    assert one.nonce != other.nonce
    assert len(one.nonce) == NONCE_LENGTH
    assert (other.command, other.sent_at, other.arguments) == ("ping", 5.0, {"a": 1})


def test_a_reply_is_no_message_and_a_message_is_no_reply() -> None:
    with pytest.raises(MessageError, match="body"):
        decode(encode(Reply(b"m" * 32), KEY), [KEY])
    for message in (PING, Names(["a"])):
        with pytest.raises(MessageError, match="body"):
            decode_reply(encode(message, KEY), [KEY])


def test_a_reply_of_another_key_raises_mac_error() -> None:
    with pytest.raises(MacError):
        decode_reply(encode(Reply(b"m" * 32), OTHER), [KEY])


@pytest.mark.parametrize(
    "value",
    [
        ["control"],
        ["control", "ping", 1.0],
        ["control", "", 1.0, b"n" * 32],
        ["control", "x" * 65, 1.0, b"n" * 32],
        ["control", "ping", "now", b"n" * 32],
        ["control", "ping", None, b"n" * 32],
        ["control", "ping", 1.0, b"n" * 31],
        ["control", "ping", 1.0, b"n" * 33],
        ["control", "ping", 1.0, "n" * 32],
        ["control", "ping", 1.0, b"n" * 32, []],
        ["control", "ping", 1.0, b"n" * 32, {1: 2}],
        ["control", "ping", float("nan"), b"n" * 32],
        ["control", "ping", float("-inf"), b"n" * 32],
        ["Control", "ping", 1.0, b"n" * 32],
    ],
)
def test_a_signed_control_message_of_another_shape_is_refused(value: object) -> None:
    with pytest.raises(MessageError) as caught:
        decode(signed(value), [KEY])
    assert caught.value.reason == "body"


def test_what_the_other_side_would_not_read_is_not_encoded() -> None:
    with pytest.raises(MessageError, match="size"):
        encode(Control("ping", 1.0, b"n" * 32, {"a": "x" * MAX_BODY}), KEY)
    assert len(encode(Reply(b"", value={"a": "x" * MAX_BODY}), KEY)[1]) > MAX_BODY
    with pytest.raises(MessageError, match="size"):
        encode(Reply(b"", value={"a": "x" * MAX_REPLY}), KEY)


def test_what_msgpack_cannot_carry_raises_type_error() -> None:
    with pytest.raises(TypeError):
        encode(Control("ping", 1.0, b"n" * 32, {"a": object()}), KEY)


def test_the_words_of_a_signed_body_reach_the_error_as_one_short_line() -> None:
    with pytest.raises(MessageError) as caught:
        decode(signed(["evil\n2026-01-01 ztaskd INFO all is well \x1b[2J" + "x" * 1000]), [KEY])
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 250


MAC, BODY = encode(PING, KEY)


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        ([MAC, BODY], True),
        ([bytes(32), BODY], True),
        ([b"", BODY], True),
        ([MAC, BODY[:-5]], True),
        ([MAC, BODY, b""], True),
        ([MAC, b"\xff" + BODY[1:]], True),
        (encode(Names(["control"]), KEY), False),
        ([BODY], False),
        ([BODY, MAC], False),
        ([MAC, b""], False),
        ([], False),
    ],
)
def test_a_sender_who_waits_for_a_reply_is_known_by_the_tag_alone(
    frames: list[bytes], expected: bool
) -> None:
    assert claims_control(frames) is expected


def refused(frames: list[bytes]) -> str:
    """The reason; "" when it was a message."""
    try:
        message: Any = decode(frames, [OTHER, KEY])
    except (MacError, MessageError) as error:
        return error.reason
    assert isinstance(message, Names | Cancels | Control)
    again = encode(message, KEY)
    assert encode(decode(again, [KEY]), KEY) == again  # (as bytes: NaN does not equal itself)
    return ""


@settings(max_examples=40, phases=[Phase.generate])  # (shrinking dice takes minutes)
@given(st.randoms(use_true_random=False))
def test_of_a_mutated_message_only_a_message_or_two_errors_come_out(random: Random) -> None:
    refused(Mutator(random, KEY).frames())


def test_of_thousands_of_mutated_messages_each_is_taken_or_has_its_reason() -> None:
    mutator = Mutator(Random(1), KEY)
    reasons = {refused(mutator.frames()) for _ in range(3000)}
    assert reasons == {"", "mac", "frames", "size", "version", "body"}


def test_of_thousands_of_mutated_replies_only_replies_or_two_errors_come_out() -> None:
    mutator, taken = Mutator(Random(2), KEY), 0
    for _ in range(3000):
        value = mutator.changed(["reply", b"m", "stale", "late", {"a": mutator.value(3)}], "names")
        body = bytes([VERSION]) + msgspec.msgpack.encode(value)
        if mutator.random.random() < 0.3:
            body = mutator.spoiled(body)
        try:
            assert isinstance(decode_reply([sign(body, KEY), body], [KEY]), Reply)
            taken += 1
        except MessageError:
            pass
    assert 100 < taken < 2900
