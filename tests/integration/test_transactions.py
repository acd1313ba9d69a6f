"""Inside a transaction: one message when it commits, none for what is rolled back, however it is nested."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection, transaction

from django_ztask import transport
from django_ztask.models import Task
from tests.integration.conftest import Messages
from tests.integration.helpers import row
from tests.project.shop.models import Order
from tests.project.shop.tasks import add

pytestmark = pytest.mark.both_databases


class Oops(Exception):
    pass


def everything() -> set[str]:
    return set(Task.objects.values_list("uuid", flat=True))


def roll_back_savepoint(count: int = 1) -> None:
    """Calls inside a savepoint that is rolled back."""
    with transaction.atomic():
        add.map(range(count))
        transaction.set_rollback(True)


def test_a_transaction_sends_one_message_when_it_commits(messages: Messages) -> None:
    with transaction.atomic():
        first = add.async_(1)
        Order.objects.create(number=1)
        second, third = add.map([2, 3])
        assert messages == []
    assert messages == [([first.id, second.id, third.id], None)]
    assert everything() == {first.id, second.id, third.id}


def test_names_and_the_earliest_later_due_time_go_in_one_message(messages: Messages) -> None:
    with transaction.atomic():
        add.after(60, 1)
        sooner = add.after(30, 2)
        add.after(90, 3)
        now = add.async_(4)
    assert messages == [([now.id], row(sooner.id).next_attempt)]


def test_a_rolled_back_transaction_leaves_neither_row_nor_message(messages: Messages) -> None:
    with pytest.raises(Oops):
        enqueue_and_fail()
    assert (everything(), messages, Order.objects.count()) == (set(), [], 0)
    add.async_(2)
    assert len(messages) == 1, "the next call is announced as ever"


@transaction.atomic
def enqueue_and_fail() -> None:
    Order.objects.create(number=1)
    add.async_(1)
    raise Oops


def test_a_savepoint_that_is_kept_is_part_of_its_transaction(messages: Messages) -> None:
    with transaction.atomic():
        with transaction.atomic():
            first = add.async_(1)
        second = add.async_(2)
        with transaction.atomic(), transaction.atomic():
            third = add.async_(3)
    assert messages == [([first.id, second.id, third.id], None)]


def test_a_rolled_back_savepoint_takes_its_tasks_and_no_others(messages: Messages) -> None:
    with transaction.atomic():
        roll_back_savepoint()
        kept = add.async_(2)
    assert everything() == {kept.id}
    assert messages == [([kept.id], None)]


def test_calls_after_a_rolled_back_savepoint_are_announced_again(messages: Messages) -> None:
    with transaction.atomic():
        before = add.async_(1)
        roll_back_savepoint()
        after = add.async_(2)
        roll_back_savepoint(3)
    assert everything() == {before.id, after.id}
    assert {before.id, after.id} <= announced(messages)


def announced(messages: Messages) -> set[str]:
    return {name for names, _ in messages for name in names}


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("outer_first", [False, True])
def test_nested_savepoints_are_undone_from_any_depth(
    depth: int, outer_first: bool, messages: Messages
) -> None:
    kept = []
    with transaction.atomic():
        if outer_first:
            kept.append(add.async_(0))
        nest(depth)
        kept.append(add.async_(1))
        with transaction.atomic():
            kept.append(add.async_(2))
            nest(depth)
            kept.append(add.async_(3))
    assert everything() == {handle.id for handle in kept}
    assert everything() <= announced(messages)


def nest(depth: int) -> None:
    """Savepoints that are kept, inside one that is rolled back."""
    with transaction.atomic():
        for n in range(depth):
            with transaction.atomic():
                add.async_(n)
                if n:
                    roll_back_savepoint()
        transaction.set_rollback(True)


def test_other_hooks_of_the_transaction_stay_as_they_are(messages: Messages) -> None:
    ran: list[str] = []
    with transaction.atomic():
        transaction.on_commit(lambda: ran.append("first"))
        with transaction.atomic():
            transaction.on_commit(lambda: ran.append("undone"))
            transaction.set_rollback(True)
        one = add.async_(1)
        transaction.on_commit(lambda: ran.append("last"))
        two = add.async_(2)
    assert ran == ["first", "last"]
    assert messages == [([one.id, two.id], None)]


def test_a_hook_that_enqueues_is_announced_by_itself(messages: Messages) -> None:
    made = []
    with transaction.atomic():
        made.append(add.async_(1))
        transaction.on_commit(lambda: made.append(add.async_(2)))
    assert messages == [([made[0].id], None), ([made[1].id], None)]


def test_each_transaction_has_a_message_of_its_own(messages: Messages) -> None:
    for n in range(3):
        with transaction.atomic():
            add.async_(n)
            add.async_(n)
    assert [len(names) for names, _ in messages] == [2, 2, 2]
    assert announced(messages) == everything()


def test_a_thousand_calls_in_one_transaction_are_one_message(messages: Messages) -> None:
    with transaction.atomic():
        handles = [add.async_(n) for n in range(1000)]
    assert messages == [([handle.id for handle in handles], None)]


def test_a_node_that_cannot_be_told_does_not_fail_a_commit(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:

    def broken(ids: object, later: object) -> None:
        raise RuntimeError("no socket")

    transport.deliver_to(broken)
    add.async_(0)
    with transaction.atomic():
        add.async_(1)
    assert Task.objects.count() == 2
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]


@pytest.fixture
def by_hand() -> Iterator[None]:
    """A manual transaction: autocommit is off, the test commits."""
    transaction.set_autocommit(False)
    yield
    connection.rollback()
    transaction.set_autocommit(True)


@pytest.mark.usefixtures("by_hand")
def test_a_manual_transaction_that_commits_has_its_rows(messages: Messages) -> None:
    handles = [add.async_(1), *add.map([2, 3]), add.after(5, 4)]
    transaction.commit()
    assert everything() == {handle.id for handle in handles}
    assert messages == [], "no hook runs there: the sweep finds the rows"


@pytest.mark.usefixtures("by_hand")
def test_a_manual_transaction_that_rolls_back_has_none() -> None:
    add.async_(1)
    add.map([2, 3])
    transaction.rollback()
    assert everything() == set()


@pytest.mark.usefixtures("by_hand")
def test_an_atomic_block_in_a_manual_transaction_raises_nothing() -> None:
    with transaction.atomic():
        handle = add.async_(1)
        add.map([2, 3])
    transaction.commit()
    assert handle.id in everything()
    assert len(everything()) == 3
