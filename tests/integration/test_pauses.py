"""Pauses and rows, in the journal: who has paused what, which rows are put aside, and how they come back."""

from __future__ import annotations

import time
from collections import Counter
from functools import partial
from typing import Any

import pytest
from django.db import connection, transaction

from django_ztask import aside, cancelling, journal, operations, pauses, upkeep
from django_ztask.lifecycle import POOLS, PROCESS
from django_ztask.models import Task
from django_ztask.pauses import EVERYTHING
from tests.integration.helpers import BOOT, claim, failed, later, new_task, race, record, row, status

pytestmark = pytest.mark.both_databases

NOW = 1_700_000_000.0


def mail(count: int = 1, **options: Any) -> list[str]:
    return record(*[new_task(n, queue="mail", **options) for n in range(count)])


def put(*ids: str) -> int:
    with transaction.atomic():
        return pauses.put_aside(connection, ids)


def brought(limit: int = 500) -> int:
    with transaction.atomic():
        return pauses.bring_back(connection, limit)


def pool(task_id: str) -> str:
    return row(task_id).pool


def pools() -> Counter[str]:
    return Counter(Task.objects.values_list("pool", flat=True))


def test_a_pause_is_made_once_and_says_who_when_and_why() -> None:
    began = time.time()
    first, is_new = pauses.pause(connection, "mail", "the provider is down")
    assert is_new
    assert began - 1 < first.since < time.time() + 1
    assert ("@" in first.by, first.reason) == (True, "the provider is down")
    again, is_new = pauses.pause(connection, "mail", "another reason")
    assert (again, is_new) == (first, False)
    everything, _ = pauses.pause(connection, EVERYTHING)
    assert pauses.current(connection) == [first, everything]
    assert pauses.resume(connection, first)
    assert not pauses.resume(connection, first)
    assert pauses.current(connection) == [everything]
    second, _ = pauses.pause(connection, "mail")
    assert second.number > first.number, "a number is never used again"


def test_of_two_who_pause_at_once_one_has_done_it() -> None:
    found = race(*[partial(pauses.pause, queue="mail")] * 3)
    assert sorted(is_new for _, is_new in found) == [False, False, True]
    assert len({pause.number for pause, _ in found}) == 1
    [pause] = pauses.current(connection)
    assert sorted(race(*[partial(pauses.resume, pause=pause)] * 3)) == [False, False, True]


def test_what_waits_of_a_queue_is_counted() -> None:
    ids = mail(3)
    record()
    claim(ids[0])
    assert pauses.waiting(connection, "mail") == pauses.Waiting(2, 1, True)
    assert pauses.waiting(connection, EVERYTHING) == pauses.Waiting(3, 1, True)
    assert pauses.waiting(connection, "stock") == pauses.Waiting(0, 0, False)
    Task.objects.update(status="SUCCEEDED")
    assert pauses.waiting(connection, "mail") == pauses.Waiting(0, 0, True)


@pytest.mark.parametrize("kind", POOLS)
def test_rows_of_a_paused_queue_are_put_aside_and_come_back_where_they_belong(kind: str) -> None:
    ids, others = mail(3, pool=kind), record(new_task(1, pool=kind))
    assert put(*ids, *others) == 0, "nothing is paused"
    pause, _ = pauses.pause(connection, "mail")
    assert pauses.among(connection, [*ids, *others]) == set(ids)
    running = claim(ids[2])[0].id
    assert put(*ids, *others) == 2
    assert put(*ids, *others) == 0
    assert {pool(task_id) for task_id in ids[:2]} == {f"paused-{pause.number}{aside.ENDINGS[kind]}"}
    assert (pool(running), pool(others[0])) == (kind, kind)
    assert journal.due(connection, later(), 9, (), POOLS) == others
    assert claim(*ids[:2]) == []
    assert brought() == 0, "they are where they are to be"
    pauses.resume(connection, pause)
    assert (brought(), brought()) == (2, 0)
    assert set(pools()) == {kind}
    assert len(claim(*ids)) == 2


def test_a_pause_of_everything_puts_nothing_aside() -> None:
    pauses.pause(connection, EVERYTHING)
    ids = mail(2)
    assert (pauses.among(connection, ids), put(*ids)) == (set(), 0)


def test_rows_come_back_in_batches_the_first_ones_first() -> None:
    ids = mail(4, due=NOW + 5) + mail(2, due=NOW) + mail(1, due=NOW + 9, priority=3)
    first_to_last = [ids[6], *ids[4:6], *ids[:4]]
    assert journal.due(connection, NOW + 9, 9) == first_to_last
    pause, _ = pauses.pause(connection, "mail")
    assert put(*ids) == 7
    pauses.resume(connection, pause)
    back: list[str] = []
    while brought(2):
        found = journal.due(connection, NOW + 9, 9)
        assert found == first_to_last[: len(found)]
        back.append(str(len(found)))
    assert back == ["1", "3", "5", "7"], "a batch is of one priority"


def test_of_two_pauses_the_rows_of_one_come_back() -> None:
    mails, stocks = mail(2), record(*[new_task(n, queue="stock", pool=PROCESS) for n in range(2)])
    paused = [pauses.pause(connection, queue)[0] for queue in ("mail", "stock")]
    assert put(*mails, *stocks) == 4
    assert pauses.strays(connection, paused) == []
    pauses.resume(connection, paused[1])
    assert pauses.strays(connection, paused[:1]) == [f"paused-{paused[1].number}-p"]
    assert (brought(), brought()) == (2, 0)
    assert pools() == {"process": 2, f"paused-{paused[0].number}": 2}


def test_a_queue_that_is_paused_again_has_its_rows_aside_under_the_new_pause() -> None:
    ids = mail(3)
    old, _ = pauses.pause(connection, "mail")
    put(*ids)
    pauses.resume(connection, old)
    new, _ = pauses.pause(connection, "mail")
    assert (brought(), put(*ids)) == (3, 3)
    assert pools() == {f"paused-{new.number}": 3}


def test_whatever_somebody_has_written_that_looks_put_aside_comes_back() -> None:
    pauses.pause(connection, "mail")
    made_up = ["paused-", "paused-x", "paused-99-g", "paused-99-sg", "paused-99-?"]
    ids = record(*[new_task(n) for n in made_up])
    for task_id, made in zip(ids, made_up, strict=True):
        Task.objects.filter(uuid=task_id).update(pool=made)
    assert upkeep.fail_odd(connection, NOW) == []
    while brought():
        pass
    assert [pool(task_id) for task_id in ids] == ["", "", "greenlet", "suspect-greenlet", ""]


def test_pools_that_are_none_are_failed_beside_those_of_paused_queues() -> None:
    paused = [pauses.pause(connection, queue)[0] for queue in ("mail", "stock", "news")]
    fine = [f"paused-{pause.number}{ending}" for pause in paused for ending in aside.ENDINGS.values()]
    odd = ["paused", "pause", "h", "processes", "suspects", "zzz"]
    ids = record(*[new_task(n) for n in (*fine, *odd)])
    for task_id, written in zip(ids, (*fine, *odd), strict=True):
        Task.objects.filter(uuid=task_id).update(pool=written)
    assert {task_id for task_id, _ in upkeep.fail_odd(connection, NOW)} == set(ids[len(fine) :])
    assert sorted(pauses.pools_aside(connection)) == sorted(fine)


def test_two_nodes_bring_back_each_row_once_while_a_third_puts_aside() -> None:
    ids = mail(300)
    pause, _ = pauses.pause(connection, "mail")
    put(*ids)
    pauses.resume(connection, pause)

    def bring(own: Any) -> int:
        total = 0
        while number := _in_transaction(own, partial(pauses.bring_back, limit=20)):
            total += number
        return total

    def put_again(own: Any) -> int:
        return sum(_in_transaction(own, partial(pauses.put_aside, ids=ids)) for _ in range(20))

    first, second, again = race(bring, bring, put_again)
    assert (again, first + second + brought()) == (0, 300), "no pause is in force: nothing is put aside"
    assert pools() == {"": 300}


def test_nodes_that_put_aside_the_same_rows_do_not_stop_each_other() -> None:
    ids = mail(300)
    pauses.pause(connection, "mail")
    work = [partial(pauses.put_aside, ids=order) for order in (ids, ids[::-1])]
    claims = partial(journal.claim, boot=BOOT, ids=ids[50:100], now=later())
    racers: list[Any] = [lambda own, verb=verb: _in_transaction(own, verb) for verb in (*work, claims)]
    one, other, claimed = race(*racers)
    assert one + other + len(claimed) >= 250
    put(*ids)
    assert Task.objects.filter(status="QUEUED", pool="").count() == 0
    assert Task.objects.filter(status="RUNNING", pool="").count() == len(claimed)


def _in_transaction(own: Any, verb: Any) -> Any:
    with transaction.atomic(using=own.alias):
        return verb(own)


def test_a_task_of_a_paused_queue_is_cancelled_listed_and_deleted_as_any() -> None:
    ids = mail(2)
    pause, _ = pauses.pause(connection, "mail")
    put(*ids)
    assert cancelling.cancel(connection, ids[0]) == "CANCELLED"
    pauses.resume(connection, pause)
    assert brought() == 1, "what has ended stays as it is"
    assert operations.delete(connection, ids, "CANCELLED") == 1


def test_what_failed_while_it_was_aside_is_replayed_into_its_place() -> None:
    [task_id] = mail()
    first, _ = pauses.pause(connection, "mail")
    put(task_id)
    upkeep.refuse(connection, task_id, NOW, "for a test")
    assert journal.replay_failed(connection, NOW, 5) == (1, 0)
    assert claim(task_id) == []
    pauses.resume(connection, first)
    assert brought() == 1
    assert len(claim(task_id)) == 1


def test_a_replay_of_a_paused_queue_waits() -> None:
    task_id = failed(queue="mail")
    pauses.pause(connection, "mail")
    journal.replay_failed(connection, NOW, 5)
    assert put(task_id) == 1
    assert claim(task_id) == []


@pytest.mark.parametrize("queue", ["mail", EVERYTHING])
def test_while_its_queue_is_paused_no_task_fails_because_nobody_knows_its_function(queue: str) -> None:
    [task_id] = mail(function="not.here", due=NOW)
    pause, _ = pauses.pause(connection, queue)
    put(task_id)
    verb = partial(upkeep.fail_unknown, connection, NOW, NOW + 1, {"not.here"})
    assert (verb(), status(task_id)) == ([], "QUEUED")
    pauses.resume(connection, pause)
    assert (len(verb()), status(task_id)) == (1, "FAILED")


def test_what_a_node_has_claimed_of_a_queue_is_found() -> None:
    ids, others = mail(3), record(new_task(1), new_task(2, queue="stock"))
    claim(*ids[:2], *others)
    claim(ids[2], boot="another")
    assert set(pauses.claimed(connection, BOOT, ["mail", "stock"])) == {*ids[:2], others[1]}
