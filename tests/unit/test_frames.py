"""Daemon and child: whatever is said comes out at the other end, however the stream is cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as some

from django_ztask.execute import CurrentTask
from django_ztask.lifecycle import Kind, Outcome
from django_ztask.serialize import Payload
from ztaskd.workers import frames

DONE = frames.Done(Outcome(Kind.FAILURE, exception="ValueError: nö", traceback="line\n"), 1.5, 0.25, 2**33)
SAID = [
    frames.Ready(),
    frames.Refused("no such module"),
    frames.Line("shop", 30, 1.25, "careful", "id-1"),
    DONE,
    frames.Done(Outcome(Kind.SUCCESS, result="x" * 100_000), 1.5, 0.25, 1),
]


@given(some.lists(some.sampled_from(SAID), max_size=5), some.lists(some.integers(1, 60_000), max_size=20))
def test_what_a_child_says_comes_out_whole_however_the_stream_is_cut(
    said: list[frames.FromChild], cuts: list[int]
) -> None:
    stream = b"".join(map(frames.pack, said))
    feed, bodies = frames.Feed(), []
    for cut in [*cuts, len(stream)]:
        bodies += feed.add(stream[:cut])
        stream = stream[cut:]
    assert [frames.from_child.decode(body) for body in bodies] == said


def test_what_the_daemon_asks_comes_out_as_it_was() -> None:
    task = CurrentTask("id-1", "shop.tasks.render", 2, 3)
    do = frames.Do(task, Payload("json", "[1]", "{}"), "0" * 64, 1.5)
    [body] = frames.Feed().add(frames.pack(do))
    assert frames.from_daemon.decode(body) == do
