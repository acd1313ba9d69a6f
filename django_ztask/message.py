"""What travels between a Django process and a node, as pure functions: encode, sign, verify, decode.

Two frames: MAC, body. The body is a version byte and a msgpack array. Nothing of a task is in it but
ids: a message that is lost, doubled, replayed or forged changes no row, since the claim decides.
"""

from __future__ import annotations

import hmac
import math
from collections.abc import Sequence
from typing import Annotated

import msgspec

from django_ztask.errors import MacError, MessageError

VERSION = 1

# A message names at most this many tasks; with more, it names none and only says "look".
MAX_NAMES = 1000

# Bytes of the largest body a node reads: MAX_NAMES ids of 36 characters, and room for a later version.
MAX_BODY = 65536

MAC_LENGTH = 32

TaskId = Annotated[str, msgspec.Meta(min_length=1, max_length=36)]


class Names(msgspec.Struct, frozen=True, array_like=True, tag="names"):
    """Ids of committed rows that are due now, and the earliest due time (epoch seconds) of later ones.

    No ids and no time means: look in the journal.
    """

    ids: Annotated[list[TaskId], msgspec.Meta(max_length=MAX_NAMES)]
    later: float | None = None


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Names)


def sign(body: bytes, key: bytes) -> bytes:
    return hmac.digest(key, body, "sha256")


def encode(message: Names, key: bytes) -> list[bytes]:
    """The frames of `message`, signed with `key`."""
    if len(message.ids) > MAX_NAMES:
        message = Names([], message.later)
    body = bytes([VERSION]) + _encoder.encode(message)
    return [sign(body, key), body]


def decode(frames: Sequence[bytes], keys: Sequence[bytes]) -> Names:
    """The message in `frames`, if one of `keys` signed it.

    Raises MacError or MessageError, and nothing else, whatever the bytes are.
    """
    if len(frames) != 2:
        raise MessageError("frames", f"{len(frames)} frames instead of 2")
    mac, body = frames
    if len(mac) != MAC_LENGTH or not 2 <= len(body) <= MAX_BODY:
        raise MessageError("size", f"a MAC of {len(mac)} and a body of {len(body)} bytes")
    if not any(hmac.compare_digest(mac, sign(body, key)) for key in keys):
        raise MacError("a message whose MAC does not verify: is SECRET_KEY the same on both sides?")
    if body[0] != VERSION:
        raise MessageError("version", f"version {body[0]}; this node speaks {VERSION}")
    try:
        message = _decoder.decode(body[1:])
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise MessageError("body", str(error)) from None
    if message.later is not None and not math.isfinite(message.later):
        raise MessageError("body", "the later due time is not finite")
    return message
