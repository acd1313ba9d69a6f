"""Asks a node for something: one control message, one reply. Plain zmq, in a context of its own."""

from __future__ import annotations

import time
from typing import Any

import zmq

from django_ztask.conf import keys
from django_ztask.errors import NoAnswer, Refused
from django_ztask.message import MAX_REPLY, Reply, control, decode_reply, encode


def ask(url: str, command: str, timeout: float, arguments: dict[str, Any] | None = None) -> Reply:
    """The reply of the node at `url`, which has done what `command` says.

    Raises NoAnswer when none came within `timeout` seconds; Refused when the node will not do it; MacError
    when the answer is signed with another key, MessageError when it is no reply at all.
    """
    deadline = time.monotonic() + timeout
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        for option, value in (
            (zmq.IMMEDIATE, 1),  # a message is made when somebody is there to read it: its time is true
            (zmq.LINGER, 0),
            (zmq.RECONNECT_IVL, 50),
            (zmq.MAXMSGSIZE, MAX_REPLY),
            (zmq.IPV6, int("[" in url)),
        ):
            socket.setsockopt(option, value)
        socket.connect(url)
        if not socket.poll(_left(deadline), zmq.POLLOUT):
            raise NoAnswer(f"no node answers at {url} (within {timeout:g} s)")
        frames = encode(control(command, time.time(), arguments), keys("message")[0])
        socket.send_multipart(frames)
        while socket.poll(_left(deadline)):
            reply = decode_reply(socket.recv_multipart(), keys("message"))
            if reply.to != frames[0]:
                continue  # to somebody else's message
            if reply.refused is not None:
                raise Refused(reply.refused, f"the node at {url} refused {command!r}: {reply.reason}")
            return reply
    reason = f"the node at {url} took {command!r} and did not answer within {timeout:g} s"
    raise NoAnswer(reason, taken=True)


def _left(deadline: float) -> int:
    """Milliseconds; at least one look."""
    return max(0, round((deadline - time.monotonic()) * 1000))
