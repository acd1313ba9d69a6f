"""What a node makes of frames, without its socket: effect, reply, count. Nothing raises out of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
from django.test import override_settings
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from django_ztask.conf import keys
from django_ztask.errors import MessageError
from django_ztask.message import Cancels, Names, Reply, control, decode_reply, encode
from tests.fuzz.mutate import Mutator
from tests.fuzz.target import Inside
from ztaskd import events
from ztaskd.reader import Reader


class Node:
    """A reader, what it named, and the errors it has told of."""

    def __init__(self) -> None:
        self.named: list[tuple[Sequence[str], float | None]] = []
        self.cancelled: list[Any] = []
        self.reader = Reader(lambda *named: self.named.append(named), "here", self.cancelled.append)

    def reply(self, frames: list[bytes]) -> Reply | None:
        answer = self.reader.read(frames)
        return None if answer is None else decode_reply(answer, keys("message"))


@pytest.fixture
def node() -> Node:
    return Node()


def key() -> bytes:
    return keys("message")[0]


def ask(command: str = "ping", age: float = 0.0, **arguments: Any) -> list[bytes]:
    return encode(control(command, time.time() - age, arguments), key())


def test_names_are_handed_on_and_have_no_reply(node: Node) -> None:
    frames = encode(Names(["a", "b"], 5.0, 0.004), key())
    assert [node.reply(frames), node.reply(frames)] == [None, None]
    assert node.named == [(["a", "b"], 5.0, 0.004)] * 2
    assert node.reader.refused == {}


@pytest.mark.parametrize("ids", [["a", "b"], []])
def test_what_is_cancelled_is_handed_on_and_has_no_reply(ids: list[str], node: Node) -> None:
    assert node.reply(encode(Cancels(ids), key())) is None
    assert node.cancelled == [ids]
    assert node.named == []
    assert node.reader.refused == {}


def test_a_forged_cancel_says_nothing_to_anybody(node: Node) -> None:
    assert node.reply(encode(Cancels(["a"]), b"another key")) is None
    assert node.cancelled == []
    assert node.reader.refused == {"mac": 1}


def test_a_ping_tells_the_nodes_name_and_counts(node: Node) -> None:
    node.reader.read([b"x"])
    frames = ask()
    reply = node.reply(frames)
    assert reply is not None
    assert (reply.to, reply.refused) == (frames[0], None)
    assert reply.value["name"] == "here"
    assert reply.value["refused"] == {"frames": 1}
    assert node.named == []


@pytest.mark.parametrize(
    ("frames", "kind"),
    [
        (lambda: ask(age=301), "stale"),
        (lambda: ask(age=-301), "stale"),
        (lambda: ask(age=3), "stale"),  # sent before this reader was made
        (lambda: ask("dance"), "unknown"),
        (lambda: ask("_ping"), "unknown"),
        (lambda: [bytes(32), ask()[1]], "mac"),
        (lambda: [b"", ask()[1]], "size"),
        (lambda: [*ask(), b""], "frames"),
        (lambda: encode(control("ping", float("nan")), key()), "body"),
    ],
)
def test_a_control_message_that_is_refused_is_told_why_and_counted(
    node: Node, frames: Any, kind: str
) -> None:
    sent = frames()
    reply = node.reply(sent)
    assert reply is not None
    assert (reply.to, reply.refused, reply.value) == (sent[0], kind, {})
    assert reply.reason
    assert node.reader.refused == {kind: 1}


def test_a_control_message_that_comes_twice_is_done_once(node: Node) -> None:
    done = []
    node.reader.commands["count"] = lambda arguments: done.append(arguments) or {}  # type: ignore[func-returns-value]
    frames = ask("count", a=1)
    replies = [node.reply(frames) for _ in range(3)]
    assert [reply and reply.refused for reply in replies] == [None, "replayed", "replayed"]
    assert done == [{"a": 1}]


def test_names_that_are_refused_have_no_reply(node: Node) -> None:
    frames = encode(Names(["a"]), b"another key")
    assert node.reply(frames) is None
    assert node.reader.refused == {"mac": 1}


def test_a_command_that_raises_is_a_refusal_of_that_one(node: Node) -> None:
    def broken(arguments: dict[str, Any]) -> dict[str, Any]:
        raise ZeroDivisionError("by its own fault")

    def picky(arguments: dict[str, Any]) -> dict[str, Any]:
        raise MessageError("argument", "which task?")

    node.reader.commands.update(
        broken=broken, picky=picky, huge=lambda _: {"a": "x" * (1 << 21)}, odd=lambda _: {"a": object()}
    )
    replies = {command: node.reply(ask(command)) for command in ("broken", "picky", "huge", "odd", "ping")}
    refused = {command: reply and reply.refused for command, reply in replies.items()}
    assert refused == {
        "broken": "failed",
        "picky": "argument",
        "huge": "failed",
        "odd": "failed",
        "ping": None,
    }


def test_the_key_of_a_fallback_is_taken_and_that_of_a_stranger_is_not(node: Node) -> None:
    with override_settings(SECRET_KEY="old"):
        frames, other = ask(), encode(Names(["a"]), key())
    with override_settings(SECRET_KEY="new"):
        reply = node.reply(frames)
        assert reply is not None
        assert reply.refused == "mac"
        assert node.reply(other) is None
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["old"]):
        answer = node.reader.read(frames)
        assert answer is not None
        with override_settings(SECRET_KEY="old", SECRET_KEY_FALLBACKS=[]):  # as its sender reads it
            assert decode_reply(answer, keys("message")).refused is None
        assert node.reply(other) is None
    assert node.named == [(["a"], None, 0.0)]


def test_each_refusal_is_an_event_with_its_error(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, str]] = []
    monkeypatch.setattr(
        events, "_subscribers", [lambda event, fields: told.append((event, str(fields["error"])))]
    )
    node.reader.read([b"x"])
    node.reader.read(ask("dance"))
    assert [event for event, _ in told] == ["message_refused"] * 2
    assert told[1][1] == "unknown: command 'dance'; this node knows: ping"


def shoot(inside: Inside, frames: list[bytes]) -> None:
    """Names, a reply or a counted refusal: nothing else."""
    before = inside.named + inside.reader.refused.total()
    inside.shoot(frames)
    after = inside.named + inside.reader.refused.total()
    assert after == before + 1 or (after == before and b"\xa4ping" in frames[1])


@settings(max_examples=40, phases=[Phase.generate])  # (shrinking dice takes minutes)
@given(st.randoms(use_true_random=False))
def test_whatever_comes_is_names_a_reply_or_a_counted_refusal(random: Random) -> None:
    shoot(Inside(), Mutator(random, key()).frames())


def test_thousands_of_mutated_messages_are_refused_for_every_reason_there_is() -> None:
    inside, mutator = Inside(), Mutator(Random(3), key())
    for _ in range(3000):
        shoot(inside, mutator.frames())
    reasons = {"frames", "size", "mac", "version", "body", "stale", "replayed", "unknown"}
    assert set(inside.reader.refused) == reasons
    assert inside.named > 100
