"""What the journal's thread claims for whom, and what it answers: the real thread, on both databases."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from tests.integration.helpers import BOOT, OTHER, claim, new_task, record
from ztaskd import events
from ztaskd.batch import Answer, Look, Names, Pools, Request, Stop
from ztaskd.group_commit import GroupCommit
from ztaskd.inbox import Inbox
from ztaskd.lanes import SLOTS
from ztaskd.storage import storage_for

pytestmark = pytest.mark.both_databases

PROCESSES: Pools = ("process",)
NONE: frozenset[str] = frozenset()


def answers(*requests: Request) -> list[Answer]:
    """Of one batch of these."""
    inbox = Inbox(lambda wake: None)
    posted: list[Callable[[], None]] = []
    found: list[Answer] = []
    commits = GroupCommit(storage_for("default"), BOOT, inbox, posted.append, found.append, lambda own: True)
    for request in (*requests, Stop()):
        inbox.put(request)
    thread = threading.Thread(target=commits.run)
    thread.start()
    thread.join(30)
    commits.abandon = True
    assert not thread.is_alive(), "it goes on and on"
    before = list(events._subscribers)
    events._subscribers[:] = []
    for callback in posted:
        callback()
    events._subscribers[:] = before
    return found[:-1]  # (the last one is of what came behind Stop)


def claimed(found: list[Answer]) -> list[str]:
    return [task.id for answer in found for task in answer.claimed]


def status(task_id: str) -> str:
    """(Also of a row that cannot be read.)"""
    with connection.cursor() as cursor:
        cursor.execute("SELECT status FROM django_ztask_task WHERE uuid = %s", [task_id])
        return str(cursor.fetchone()[0])


def many(pool: str, count: int, **options: Any) -> list[str]:
    return record(*[new_task(n, pool=pool, **options) for n in range(count)])


@pytest.mark.parametrize("looks", [[], [Look([(PROCESSES, 2)], NONE)]])
def test_a_name_that_brings_no_row_is_told(looks: list[Request]) -> None:
    ours, theirs = many("greenlet", 3), many("process", 1)
    [answer] = answers(Names([*ours, *theirs], SLOTS), *looks)
    assert (answer.named, answer.missed) == (4, not looks), "the look has found it"
    assert claimed([answer]) == ours + (theirs if looks else [])
    [answer] = answers(Names(many("", 3), SLOTS), *looks)
    assert (answer.named, answer.missed, len(answer.claimed)) == (3, False, 3)


def test_what_somebody_else_has_claimed_is_missed_too() -> None:
    [ours, theirs] = many("", 2)
    claim(theirs, boot=OTHER)
    [answer] = answers(Names([ours, theirs, ours], SLOTS))
    assert (claimed([answer]), answer.missed) == ([ours], True)


def test_a_look_brings_each_lane_what_it_wants() -> None:
    slots, processes = many("", 3) + many("greenlet", 2), many("process", 4)
    later = many("process", 1, due=4e9)
    [answer] = answers(Look([(SLOTS, 4), (PROCESSES, 6)], NONE))
    assert claimed([answer]) == slots[:4] + processes
    assert (answer.looked, answer.more, answer.next_due) == (True, {SLOTS}, 4e9)
    [answer] = answers(Look([(PROCESSES, 6), (SLOTS, 1)], NONE))
    assert (claimed([answer]), answer.more) == (slots[4:], {SLOTS})
    assert status(later[0]) == "QUEUED"


def test_a_look_for_one_lane_leaves_the_others_rows() -> None:
    slots, processes = many("", 3), many("process", 3)
    [answer] = answers(Look([(PROCESSES, 3)], NONE))
    assert (claimed([answer]), answer.more) == (processes, {PROCESSES})
    assert {status(task_id) for task_id in slots} == {"QUEUED"}


@pytest.mark.parametrize("by", ["name", "look"])
@pytest.mark.parametrize("pools", [SLOTS, PROCESSES])
def test_a_row_that_cannot_be_read_keeps_nothing_from_its_lane(pools: Pools, by: str, vendor: str) -> None:
    rows = many(pools[-1], 5)
    other = many("process" if pools == SLOTS else "", 2)
    bad = "args = CAST(x'ff' AS TEXT)" if vendor == "sqlite" else "created = '20000-01-01'"
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE django_ztask_task SET {bad} WHERE uuid = %s", [rows[1]])
    asked = Names([*rows, *other], pools) if by == "name" else Look([(pools, 5)], NONE)
    assert sorted(claimed(answers(asked))) == sorted(rows[:1] + rows[2:])
    assert status(rows[1]) == "FAILED"
    assert {status(task_id) for task_id in other} == {"QUEUED"}
