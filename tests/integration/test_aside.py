"""The journal's thread beside paused queues: what it puts aside, what it claims all the same, what it says of that."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from django.db import connection

from django_ztask import pauses
from django_ztask.models import Task
from django_ztask.pauses import EVERYTHING
from tests.integration.helpers import claim, new_task, record, row
from tests.integration.test_group_commit import answers, claimed, status
from ztaskd.aside import MOST, Aside, Seen
from ztaskd.batch import Answer, Call, Look, Names, Request
from ztaskd.lanes import CHILDREN, SLOTS, SUSPECTS

pytestmark = pytest.mark.both_databases

NONE: frozenset[str] = frozenset()


class Told:
    """Takes what a call brings."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.set = self.seen.append

    def set_exception(self, error: Exception) -> None:
        raise error


def having_looked(monkeypatch: pytest.MonkeyPatch, *requests: Request) -> list[Answer]:
    """What a thread answers that has looked at the pauses before."""
    real = Aside.__init__

    def look(self: Aside, boot: str) -> None:
        real(self, boot)
        self.look(connection, ())

    monkeypatch.setattr(Aside, "__init__", look)
    return answers(*requests)


def of(queue: str, count: int, **options: Any) -> list[str]:
    return record(*[new_task(n, queue=queue, **options) for n in range(count)])


def pools() -> Counter[str]:
    return Counter(Task.objects.filter(status="QUEUED").values_list("pool", flat=True))


@pytest.mark.parametrize("pool", [*SLOTS, *CHILDREN, *SUSPECTS])
def test_a_look_puts_aside_what_is_in_the_way_and_claims_what_comes_behind(
    pool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    of("mail", 30, pool=pool)
    stock = of("stock", 5, pool=pool)
    pauses.pause(connection, "mail")
    lane = next(pools for pools in (SLOTS, CHILDREN, SUSPECTS) if pool in pools)
    [answer] = having_looked(monkeypatch, Look([(lane, 3)], NONE))
    assert (answer.aside, answer.more) == (30, {lane})
    assert claimed([answer]) == stock[:3]
    assert len(pools()) == 2


def test_what_lies_behind_more_than_one_batch_is_looked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    of("mail", MOST + 50)
    stock = of("stock", 1)
    pauses.pause(connection, "mail")
    [answer] = having_looked(monkeypatch, Look([(SLOTS, 3)], NONE))
    assert (answer.aside, answer.more, claimed([answer])) == (MOST, {SLOTS}, [])
    [answer] = answers(Look([(SLOTS, 3)], NONE))
    assert (answer.aside, claimed([answer])) == (50, stock)
    assert answer.more == {SLOTS}, "it may have found less than there is"
    [answer] = answers(Look([(SLOTS, 3)], NONE))
    assert (answer.aside, answer.more) == (0, set())


def test_names_of_a_paused_queue_are_put_aside_and_missed_by_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    mail, stock = of("mail", 3), of("stock", 2)
    pauses.pause(connection, "mail")
    [answer] = having_looked(monkeypatch, Names([*mail, *stock], SLOTS))
    assert (answer.named, answer.aside, answer.missed) == (5, 3, False)
    assert claimed([answer]) == stock
    [theirs] = of("stock", 1, pool="process")
    [answer] = answers(Names([*of("mail", 1), theirs], SLOTS))
    assert (answer.aside, answer.missed) == (1, True), "one of them is another lane's"


def test_while_everything_is_paused_nothing_is_claimed_and_nothing_put_aside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ids = of("mail", 3)
    pauses.pause(connection, EVERYTHING)
    [answer] = having_looked(monkeypatch, Names(ids[:1], SLOTS), Look([(SLOTS, 3)], NONE))
    assert (answer.claimed, answer.aside, answer.more) == ([], 0, set())
    assert (answer.named, answer.looked) == (1, True)
    assert pools() == {"": 3}


def test_a_row_that_cannot_be_read_costs_those_beside_it_nothing(
    monkeypatch: pytest.MonkeyPatch, vendor: str
) -> None:
    """(Such a look is done again, row by row.)"""
    mail, stock, [odd] = of("mail", 2), of("stock", 2), of("stock", 1)
    with connection.cursor() as cursor:
        bad = "args = CAST(x'ff' AS TEXT)" if vendor == "sqlite" else "created = '20000-01-01'"
        cursor.execute(f"UPDATE django_ztask_task SET {bad} WHERE uuid = %s", [odd])
    pauses.pause(connection, "mail")
    found = having_looked(monkeypatch, Look([(SLOTS, 9)], NONE))
    assert sorted(claimed(found)) == sorted(stock)
    assert all(row(task_id).pool.startswith("paused-") for task_id in mail)
    assert status(odd) == "FAILED"


def test_a_look_at_the_pauses_tells_what_is_new_and_which_rows_this_node_has_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mail, stock = of("mail", 2), of("stock", 1)
    claim(mail[0], stock[0])
    first, _ = pauses.pause(connection, "mail")
    aside = Aside("boot-1")
    assert aside.look(connection, ()) == Seen([first], [mail[0]])
    assert aside.look(connection, {first.number}) == Seen([first])
    assert aside.put(connection, {SLOTS: [mail[1]]}) == 1
    second, _ = pauses.pause(connection, "stock")
    pauses.resume(connection, first)
    assert aside.look(connection, {first.number}) == Seen([second], [stock[0]], strays=True)


def test_a_call_that_only_reads_is_answered() -> None:
    told: Any = Told()
    answers(Call(lambda own: pauses.current(own), told, reads=True))
    assert told.seen == [[]]
