"""Replay and purge by a filter: which rows, in which order, each once whoever comes second."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.db import connection, transaction

from django_ztask import looking, operations, replays
from django_ztask.filters import Filter
from django_ztask.lifecycle import Kind
from django_ztask.models import Attempt, Replay, Task
from django_ztask.operations import START
from tests.integration.helpers import claim, failed, finish, later, new_task, race, record, row, status

pytestmark = pytest.mark.both_databases


def matching(wanted: Filter) -> list[str]:
    condition = operations.replayable(connection, wanted)
    return [position.uuid for position in operations.walk(connection, condition, START, 100)]


def test_a_filter_finds_what_it_says() -> None:
    mail = failed(function="shop.tasks.send_mail")
    odd = failed(function="shop.tasks.send%mail")
    upper = failed(function="shop.tasks.Send_mail")
    Task.objects.filter(uuid=upper).update(queue="stock", last_exception="shop.errors.NoStock: none")
    assert matching(Filter(function="shop.tasks.send_mail")) == [mail]
    assert matching(Filter(function="*send%mail")) == [odd]
    assert matching(Filter(function="*.send?mail")) == [mail, odd]
    assert matching(Filter(function="*s.[a-z]*")) == [mail, odd]
    assert matching(Filter(function="*s.[!a-z]*")) == [upper]
    assert matching(Filter(function="send_mail")) == []
    assert matching(Filter(queue="stock")) == matching(Filter(exception="NoStock")) == [upper]
    assert matching(Filter(exception="ValueError")) == [mail, odd]
    assert matching(Filter(ids=(odd, upper, "nothing"))) == [odd, upper]
    assert matching(Filter(function="*", ids=())) == []


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_what_no_row_can_hold_matches_nothing(text: str) -> None:
    failed()
    for wanted in (Filter(function=text), Filter(exception=text), Filter(queue=text), Filter(ids=(text,))):
        assert matching(wanted) == []
    assert looking.begins(connection, text) == []


def test_since_is_included_and_until_is_not() -> None:
    task_id = failed()
    moment = row(task_id).failed.timestamp()  # type: ignore[union-attr]
    assert matching(Filter(since=moment, until=moment + 1)) == [task_id]
    assert matching(Filter(until=moment)) == []
    assert matching(Filter(since=moment + 0.001)) == []


def test_the_order_is_that_of_the_calls_and_of_ids_among_equals(vendor: str) -> None:
    now = time.time()
    late = failed(created=now)
    same = sorted(failed(created=now - 5) for _ in range(3))
    never = [failed(), failed()]
    Task.objects.filter(uuid__in=never).update(created=None)
    expected = [*sorted(never), *same, late]
    assert matching(Filter()) == expected
    found, position = [], START
    condition = operations.replayable(connection, Filter())
    while step := operations.walk(connection, condition, position, 2):
        position = step[-1]
        found += [each.uuid for each in step]
    assert found == expected


def begin(wanted: Filter | None = None, limit: int | None = None) -> replays.Replay:
    return replays.begin(connection, wanted or Filter(), "words", limit, 10, False)


def step(replay: replays.Replay, number: int = 10) -> list[str] | None:
    return replays.step(connection, replay, number, 5)


def test_a_replay_gives_full_retries_one_due_time_and_counts_itself() -> None:
    ids = [failed(policy={"retry_count": 3}), failed()]
    replay = begin()
    assert step(replay) == ids
    rows = [row(task_id) for task_id in ids]
    assert [(each.status, each.replays, each.failed, each.node) for each in rows] == [
        ("QUEUED", 1, None, None)
    ] * 2
    assert [each.retry_count for each in rows] == [3, 5]
    assert {each.next_attempt for each in rows} == {replay.due}
    assert [task.id for task in claim(*reversed(ids), now=later())] == ids
    kept = Replay.objects.get()
    assert (kept.queued, kept.finished, kept.filter) == (2, None, {"words": "words"})


def test_what_fails_again_while_a_replay_goes_on_is_not_for_it() -> None:
    ids = [failed(retry_count=0, policy={"retry_count": 0}) for _ in range(3)]
    replay = begin()
    assert step(replay, 2) == ids[:2]
    for task in claim(*ids[:2], now=later()):
        finish(task, Kind.FAILURE)
    new = failed()
    assert step(replay, 10) == ids[2:]
    assert step(replay, 10) is None
    assert [status(task_id) for task_id in [*ids, new]] == ["FAILED", "FAILED", "QUEUED", "FAILED"]


def test_a_row_that_failed_by_a_clock_ahead_is_for_it() -> None:
    task_id = failed()
    Task.objects.filter(uuid=task_id).update(failed=row(task_id).failed.replace(year=2090))  # type: ignore[union-attr]
    assert step(begin()) == [task_id]


def test_of_two_replays_each_row_is_had_by_one() -> None:
    for _ in range(200):
        failed()

    def all_of_it(own: Any) -> int:
        replay = replays.begin(own, Filter(), "", None, 200, False)
        while replays.step(own, replay, 7, 5) is not None:
            pass
        return replay.queued

    counts = race(all_of_it, all_of_it, all_of_it)
    assert sum(counts) == 200, counts
    assert set(Task.objects.values_list("status", "replays")) == {("QUEUED", 1)}


def test_a_step_that_is_rolled_back_is_neither_queued_nor_recorded() -> None:
    ids = [failed(), failed()]
    replay = begin()

    with transaction.atomic():
        assert step(replay, 1) == ids[:1]
        transaction.set_rollback(True)
    [kept] = replays.unfinished(connection)
    assert (kept.queued, kept.position) == (0, START)
    assert step(kept) == ids


def test_one_that_is_dead_is_taken_over_once_with_all_it_knew() -> None:
    ids = [failed() for _ in range(4)]
    begun = begin(Filter(exception="ValueError", since=5.0), limit=3)
    assert step(begun, 2) == ids[:2]
    Replay.objects.update(pid=2**22 + 1)  # no process has this number
    [dead] = replays.unfinished(connection)
    assert dead.is_dead
    assert (dead.wanted, dead.limit, dead.left) == (Filter(exception="ValueError", since=5.0), 3, 1)
    assert (dead.due, dead.horizon, dead.position) == (begun.due, begun.horizon, begun.position)
    assert replays.take_over(connection, dead)
    assert not replays.take_over(connection, dead)
    [alive] = replays.unfinished(connection)
    assert not alive.is_dead
    assert step(alive, 1) == ids[2:3]
    replays.finish(connection, alive)
    assert replays.unfinished(connection) == []
    assert not replays.take_over(connection, alive)


def test_on_another_host_silence_is_death() -> None:
    begin()
    Replay.objects.update(by="somebody@elsewhere", pid=1)
    assert not replays.unfinished(connection)[0].is_dead
    Replay.objects.update(seen=time.time() - replays.SILENCE - 1)
    [silent] = replays.unfinished(connection)
    assert silent.is_dead
    replays.give_sign(connection, silent)
    assert not replays.unfinished(connection)[0].is_dead


@pytest.mark.parametrize("ended", [False, True])
def test_one_that_was_taken_over_writes_nothing_any_more(ended: bool) -> None:
    ids = [failed() for _ in range(4)]
    suspended = begin()
    assert step(suspended, 1) == ids[:1]
    Replay.objects.update(seen=time.time() - replays.SILENCE - 1, pid=suspended.pid + 1)
    suspended.pid += 1  # (another process than this one)
    [silent] = replays.unfinished(connection)
    assert replays.take_over(connection, silent)
    assert step(silent, 1) == ids[1:2]
    if ended:
        replays.finish(connection, silent)
    kept = Replay.objects.values().get()
    with pytest.raises(replays.TakenOver):
        step(suspended, 1)
    with pytest.raises(replays.TakenOver):
        replays.give_sign(connection, suspended)
    with pytest.raises(replays.TakenOver):
        replays.finish(connection, suspended)
    assert Replay.objects.values().get() == kept
    assert [status(task_id) for task_id in ids] == ["QUEUED", "QUEUED", "FAILED", "FAILED"]


def test_a_replay_beside_another_one_gives_its_due_time() -> None:
    first = begin()
    assert begin().due == first.due
    for each in replays.unfinished(connection):
        replays.finish(connection, each)
    assert begin().due > first.due


def test_groups_tell_what_there_is() -> None:
    for _ in range(3):
        failed(function="shop.a")
    last = failed(function="shop.b")
    Task.objects.filter(uuid=last).update(last_exception="no colon in it", failed=None)
    condition = operations.replayable(connection, Filter())
    first, second = operations.groups(connection, condition)
    assert first[:3] == ("shop.a", "ValueError", 3)
    assert first.oldest is not None
    assert first.newest is not None
    assert first.oldest <= first.newest <= time.time()
    assert second == ("shop.b", "no colon in it", 1, None, None)
    assert [group.number for group in operations.groups(connection, condition, limit=2)] == [2]


def test_what_is_deleted_was_over_and_goes_with_its_attempts() -> None:
    gone, stays = failed(function="shop.a"), failed(function="shop.b")
    [queued] = record(new_task(1, function="shop.a"))
    condition = operations.purgeable(connection, Filter(function="shop.a"), "FAILED")
    ids = operations.walk_by_id(connection, condition, "FAILED", "", 10)
    assert ids == [gone]
    assert operations.delete(connection, [gone, stays, queued], "FAILED") == 2
    assert [task.uuid for task in Task.objects.all()] == [queued]
    assert Attempt.objects.count() == 0
    for state in ("QUEUED", "RUNNING"):
        with pytest.raises(ValueError, match="are not deleted"):
            operations.purgeable(connection, Filter(), state)
