"""Ids: their order is the order of the calls, in one thread and in many."""

from __future__ import annotations

import itertools
import threading
import time
import uuid

import pytest

from django_ztask import ids


def is_strictly_increasing(values: list[object]) -> bool:
    return all(a < b for a, b in itertools.pairwise(values))  # type: ignore[operator]


def test_one_id_is_a_uuid_of_version_7_that_carries_its_time() -> None:
    before = time.time_ns() // 1000
    [(text, created)] = ids.new()
    parsed = uuid.UUID(text)
    assert str(parsed) == text
    assert parsed.version == 7
    assert parsed.variant == uuid.RFC_4122
    assert parsed.int >> 80 == created // 1000
    assert before <= created <= max(before, ids._last)


@pytest.mark.parametrize("how_many", [0, 1, 2, 5000])
def test_many_at_once_are_as_many_and_in_order(how_many: int) -> None:
    made = ids.new(how_many)
    assert len(made) == how_many
    assert is_strictly_increasing([text for text, _ in made])
    assert is_strictly_increasing([created for _, created in made])


def test_the_text_orders_as_created_does_across_milliseconds_and_calls() -> None:
    made = [pair for n in range(1, 60) for pair in ids.new(n)]
    assert made == sorted(made, key=lambda pair: pair[1])
    assert is_strictly_increasing([text for text, _ in made])


def test_a_clock_that_stands_still_or_goes_back_does_not_stop_the_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    readings = iter([2_000_000_000_000_000_000] * 3 + [1_000_000_000_000_000_000] * 3)
    monkeypatch.setattr(ids, "_last", 0)
    monkeypatch.setattr(ids.time, "time_ns", lambda: next(readings))
    made = [ids.new()[0] for _ in range(6)]
    assert [created for _, created in made] == [2_000_000_000_000_000 + n for n in range(6)]
    assert is_strictly_increasing([text for text, _ in made])


def test_threads_never_make_the_same_id_and_each_sees_its_own_in_order() -> None:
    start = threading.Barrier(8)
    made: list[list[tuple[str, int]]] = []

    def make() -> None:
        start.wait()
        made.append([pair for _ in range(200) for pair in ids.new(3)])

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    everything = [pair for own in made for pair in own]
    assert len({text for text, _ in everything}) == len({created for _, created in everything}) == 8 * 600
    assert all(is_strictly_increasing([text for text, _ in own]) for own in made)
    assert [t for t, _ in sorted(everything)] == [t for t, _ in sorted(everything, key=lambda pair: pair[1])]
