"""What travels between a Django process and a node, as pure functions: encode, sign, verify, decode.

Two frames: MAC, body. The body is a version byte and a msgpack array, whose first element is its kind.
Names hold nothing of a task but its id: a message that is lost, doubled, replayed or forged changes no
row, since the claim decides. Control messages do have an effect, so a node takes each once, and only
fresh (ztaskd/freshness.py); they alone are answered, with a Reply.
"""

from __future__ import annotations

import hmac
import math
import os
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

import msgspec

from django_ztask.errors import MacError, MessageError

VERSION = 1

# A message names at most this many tasks; with more, it names none and only says "look".
MAX_NAMES = 1000

# Seconds for which rows may go unsaid, at most: a sweep would find them, too.
MAX_MORE = 1.0

# Bytes of the largest body a node reads: MAX_NAMES ids of 36 characters, and room for a later version.
MAX_BODY = 65536

# Bytes of the largest body a caller reads: a reply may tell of many tasks.
MAX_REPLY = 1 << 20

MAC_LENGTH = NONCE_LENGTH = 32

# How much of a reason for a refusal is passed on.
REASON = 200

TaskId = Annotated[str, msgspec.Meta(min_length=1, max_length=36)]


class Names(msgspec.Struct, frozen=True, array_like=True, tag="names"):
    """Ids of committed rows that are due now, and the earliest due time (epoch seconds) of later ones.

    No ids and no time means: look in the journal. `more`: look once more in so many seconds, since rows that are
    committed until then may go unsaid.
    """

    ids: Annotated[list[TaskId], msgspec.Meta(max_length=MAX_NAMES)]
    later: float | None = None
    more: Annotated[float, msgspec.Meta(ge=0, le=MAX_MORE)] = 0.0


class Cancels(msgspec.Struct, frozen=True, array_like=True, tag="cancels"):
    """Ids of tasks whose rows ask a node to cancel them. No ids: look in the journal. As harmless as Names: what the
    row does not say is not done."""

    ids: Annotated[list[TaskId], msgspec.Meta(max_length=MAX_NAMES)]


class Control(msgspec.Struct, frozen=True, array_like=True, tag="control"):
    """Something a node is asked to do or to tell. `sent_at` is in epoch seconds; the nonce is random."""

    command: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    sent_at: float
    nonce: Annotated[bytes, msgspec.Meta(min_length=NONCE_LENGTH, max_length=NONCE_LENGTH)]
    arguments: dict[str, Any] = {}


class Reply(msgspec.Struct, frozen=True, array_like=True, tag="reply"):
    """A node's answer to the control message whose first frame (its MAC, if it was sound) is `to`.

    `refused` is None when it was done, else one word for why not; `reason` says it in full.
    """

    to: Annotated[bytes, msgspec.Meta(max_length=MAC_LENGTH)]
    refused: Annotated[str, msgspec.Meta(min_length=1, max_length=16)] | None = None
    reason: Annotated[str, msgspec.Meta(max_length=REASON)] = ""
    value: dict[str, Any] = {}


Message = TypeVar("Message")

# How the body of a control message begins, behind its version: an array of up to 15, and the kind.
_CONTROL = [bytes([byte]) + b"\xa7control" for byte in range(0x90, 0xA0)]

_encoder = msgspec.msgpack.Encoder()
_messages: msgspec.msgpack.Decoder[Names | Cancels | Control] = msgspec.msgpack.Decoder(
    Names | Cancels | Control
)
_replies = msgspec.msgpack.Decoder(Reply)


def sign(body: bytes, key: bytes) -> bytes:
    return hmac.digest(key, body, "sha256")


def signer(frames: Sequence[bytes], keys: Sequence[bytes]) -> bytes | None:
    """The key that made the MAC of two frames, if it is one of ours: a reply is signed with the same."""
    mac, body = frames
    return next((key for key in keys if hmac.compare_digest(mac, sign(body, key))), None)


def encode(message: Names | Cancels | Control | Reply, key: bytes) -> list[bytes]:
    """The frames of `message`, signed with `key`. Raises TypeError or ValueError for arguments or a value
    that msgpack cannot carry, and MessageError when they are too many for the other side to read."""
    if isinstance(message, Names) and len(message.ids) > MAX_NAMES:
        message = Names([], message.later, message.more)
    if isinstance(message, Cancels) and len(message.ids) > MAX_NAMES:
        message = Cancels([])
    body = bytes([VERSION]) + _encoder.encode(message)
    limit = MAX_REPLY if isinstance(message, Reply) else MAX_BODY
    if len(body) > limit:
        raise MessageError("size", f"a body of {len(body)} bytes, more than {limit}")
    return [sign(body, key), body]


def decode(frames: Sequence[bytes], keys: Sequence[bytes]) -> Names | Cancels | Control:
    """The message in `frames`, if one of `keys` signed it.

    Raises MacError or MessageError, and nothing else, whatever the bytes are.
    """
    message = _open(frames, keys, _messages, MAX_BODY)
    if isinstance(message, Cancels):
        return message
    moments = (message.later, message.more) if isinstance(message, Names) else (message.sent_at,)
    if not all(moment is None or math.isfinite(moment) for moment in moments):
        raise MessageError("body", "a time that is not finite")
    return message


def decode_reply(frames: Sequence[bytes], keys: Sequence[bytes]) -> Reply:
    """The caller's side of `decode`, with the same errors."""
    return _open(frames, keys, _replies, MAX_REPLY)


def control(command: str, sent_at: float, arguments: dict[str, Any] | None = None) -> Control:
    """A control message with a nonce of its own."""
    return Control(command, sent_at, os.urandom(NONCE_LENGTH), arguments or {})


def claims_control(frames: Sequence[bytes]) -> bool:
    """True when a message, sound or not, says that it is a control message: its sender waits for a reply."""
    return len(frames) > 1 and frames[1][1:10] in _CONTROL


def _open(
    frames: Sequence[bytes], keys: Sequence[bytes], decoder: msgspec.msgpack.Decoder[Message], limit: int
) -> Message:
    if len(frames) != 2:
        raise MessageError("frames", f"{'more' if len(frames) > 2 else len(frames)} instead of 2")
    mac, body = frames
    if len(mac) != MAC_LENGTH or not 2 <= len(body) <= limit:
        raise MessageError("size", f"a MAC of {len(mac)} and a body of {len(body)} bytes")
    if signer(frames, keys) is None:
        raise MacError("a message whose MAC does not verify: is SECRET_KEY the same on both sides?")
    if body[0] != VERSION:
        raise MessageError("version", f"version {body[0]}; this side speaks {VERSION}")
    try:
        return decoder.decode(body[1:])
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise MessageError("body", _printable(str(error))) from None


def _printable(text: str) -> str:
    """A line for a log: the bytes were signed, and may still hold anything."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:REASON])
