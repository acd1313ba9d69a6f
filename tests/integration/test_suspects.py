"""Suspects: who becomes one, who gets them, and when they are cleared; and their lane beside another."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_ztask import journal
from django_ztask.lifecycle import CHOICES, GREENLET, PROCESS, Kind, Outcome
from django_ztask.models import Attempt, Task
from django_ztask.rows import Claimed
from tests.integration import test_lanes as lanes
from tests.integration.helpers import (
    BOOT,
    OTHER,
    claim,
    claim_new,
    failed,
    finish,
    later,
    new_task,
    record,
    row,
)
from ztaskd.attempt import conclude
from ztaskd.batch import Answer
from ztaskd.lanes import CHILDREN, SLOTS, SUSPECTS, Lane, SuspectsLane
from ztaskd.slots import Slots

pytestmark = pytest.mark.both_databases

# What becomes of a row when the node is gone that had claimed it.
AFTER = {"": "suspect", GREENLET: "suspect-greenlet", PROCESS: PROCESS}


def suspect(pool: str = "", **options: object) -> Claimed:
    """Claimed from a dead node by BOOT."""
    task = claim_new(boot="dead", pool=pool, **options)
    journal.recover(connection, "dead")
    [claimed] = claim(task.id)
    return claimed


@pytest.mark.parametrize("pool", CHOICES)
def test_what_a_dead_node_held_is_suspect_and_stays_so_when_the_next_one_dies(pool: str) -> None:
    task, other = claim_new(pool=pool), claim_new(pool=pool, boot=OTHER)
    [waiting] = record(new_task(1, pool=pool))
    for _ in range(3):
        assert journal.recover(connection, BOOT) == [task.id]
        written = row(task.id)
        assert (written.pool, written.status, written.crashes) == (AFTER[pool], "QUEUED", 0)
        claim(task.id)
    assert (row(other.id).pool, row(waiting).pool) == (pool, pool)


@pytest.mark.parametrize("held", [{}, {"another": 1}])
def test_what_a_living_node_has_lost_is_no_suspect(held: dict[str, int]) -> None:
    task = claim_new(pool=GREENLET)
    assert journal.recover(connection, BOOT, held) == [task.id]
    assert row(task.id).pool == GREENLET


def test_only_the_lane_of_suspects_is_given_them() -> None:
    tasks = {pool: claim_new(boot="dead", pool=pool).id for pool in CHOICES}
    journal.recover(connection, "dead")
    for pools, found in ((SLOTS, []), (CHILDREN, [tasks[PROCESS]]), (SUSPECTS, [tasks[""], tasks[GREENLET]])):
        assert journal.due(connection, later(), 9, (), pools) == found
        claimed = journal.claim(connection, BOOT, list(tasks.values()), later(), (), pools)
        assert [task.id for task in claimed] == found


@pytest.mark.parametrize(("pool", "marked"), [("", "suspect"), (GREENLET, "suspect-greenlet")])
@pytest.mark.parametrize(
    ("kind", "state", "cleared"),
    [
        (Kind.SUCCESS, "SUCCEEDED", None),
        (Kind.FAILURE, "QUEUED", True),
        (Kind.CRASH, "FAILED", False),
        (Kind.INTERRUPTED, "QUEUED", False),
        (Kind.NOT_STARTED, "QUEUED", False),
        (Kind.UNKNOWN, "QUEUED", False),
        (Kind.REFUSED, "FAILED", False),
    ],
)
def test_the_end_of_an_attempt_says_where_a_suspect_belongs(
    kind: Kind, state: str, cleared: bool | None, pool: str, marked: str
) -> None:
    task = suspect(pool)
    assert task.pool == marked
    finish(task, kind)
    written = row(task.id)
    assert written.status == state
    if cleared is not None:
        assert written.pool == (pool if cleared else marked)


def test_a_suspect_whose_retries_are_used_up_is_no_suspect_when_it_is_replayed() -> None:
    task = suspect(retry_count=0)
    finish(task, Kind.FAILURE)
    assert (row(task.id).status, row(task.id).pool) == ("FAILED", "")


def test_a_suspect_that_its_hard_limit_has_killed_has_come_to_no_end_of_its_own() -> None:
    task = suspect()
    killed = Outcome(Kind.FAILURE, exception="the hard time limit", killed=True)
    for end in (conclude(task, killed, 1.0), conclude(task, killed, 1.0).in_ascii()):
        assert end.outcome.killed
    assert conclude(task, killed, 1.0).without_texts("refused").outcome.killed
    journal.finish(connection, BOOT, [conclude(task, killed, 1.0)])
    assert (row(task.id).status, row(task.id).failures, row(task.id).pool) == ("QUEUED", 1, "suspect")


def test_a_crash_is_the_suspects_own_three_times_and_a_replay_runs_it_alone_too() -> None:
    task = suspect()
    for crash in (1, 2, 3):
        journal.finish(connection, BOOT, [conclude(task, Outcome(Kind.CRASH, exception="SIGSEGV"), 1.0)])
        written = row(task.id)
        assert (written.pool, written.crashes, written.failures) == ("suspect", crash, 0)
        assert written.status == ("QUEUED" if crash < 3 else "FAILED")
        if crash < 3:
            assert written.last_exception == "SIGSEGV"
            [task] = claim(task.id)
    reason = "it has taken its process along 3 times (ZTASKD_MAX_CRASHES): SIGSEGV"
    assert written.last_exception == reason
    assert list(Attempt.objects.order_by("attempt").values_list("kind", "exception")) == [
        ("crash", "SIGSEGV"),
        ("crash", "SIGSEGV"),
        ("crash", reason),
    ]
    assert journal.replay_failed(connection, later(), 5) == (1, 0)
    assert (row(task.id).status, row(task.id).pool) == ("QUEUED", "suspect")


def test_a_pool_that_somebody_has_changed_while_it_ran_stays_changed() -> None:
    task = claim_new()
    Task.objects.filter(uuid=task.id).update(pool=PROCESS)
    finish(task, Kind.FAILURE)
    assert row(task.id).pool == PROCESS


def test_a_replay_makes_no_suspect() -> None:
    task_id = failed(pool=GREENLET)
    journal.replay_failed(connection, later(), 5)
    assert row(task_id).pool == GREENLET


def test_suspects_cost_a_look_one_statement_and_the_next_due_time_none() -> None:
    now = later()
    with CaptureQueriesContext(connection) as queries:
        assert journal.due(connection, now, 8, (), SUSPECTS) == []
    assert len(queries) == 1
    with CaptureQueriesContext(connection) as queries:
        assert journal.next_due(connection, now) is None
    assert [query["sql"] for query in queries if "suspect" in query["sql"]] == []


class Site(lanes.Site):
    """`suspects` is the lane of suspects. `most`: rows that it held at one time."""

    most = 0

    def lane(self, name: str) -> Lane:
        lane = super().lane(name)
        if name != "suspects":
            return lane
        assert isinstance(lane.places, Slots)
        return SuspectsLane(lane.places)

    def answered(self, answer: Answer) -> None:
        super().answered(answer)
        lane = self.dispatcher.lanes[-1]
        self.most = max(self.most, lane.held + lane.asked + lane.looking)


@pytest.fixture
def site() -> Iterator[Callable[..., Site]]:
    made: list[Site] = []

    def make(**sizes: int) -> Site:
        made.append(Site(**sizes))
        return made[-1]

    yield make
    for each in made:
        each.stop()


def many_suspects(count: int) -> list[str]:
    ids = record(*[new_task(n, pool=("", GREENLET)[n % 2]) for n in range(count)])
    claim(*ids, boot="dead")
    assert len(journal.recover(connection, "dead")) == count
    return ids


def test_never_more_suspects_are_claimed_than_there_are_places_however_short_they_are(
    site: Callable[..., Site],
) -> None:
    ids = many_suspects(300)
    node = site(slots=2, suspects=8)
    for gate in node.gates.values():
        gate.set()
    lanes.wait_for(lambda: lanes.ended(*ids), "the suspects")
    assert node.started["suspects"] == ids
    assert node.most <= 8
    assert set(Task.objects.values_list("attempts", flat=True)) == {2}


def test_slots_serve_everybody_else_while_suspects_wait(site: Callable[..., Site]) -> None:
    ids = many_suspects(50)
    node = site(slots=2, suspects=8)
    lanes.wait_for(lambda: len(node.started["suspects"]) == 8, "eight suspects")
    node.gates["slots"].set()
    named, unnamed = lanes.many("", 7), lanes.many(GREENLET, 50)
    node.dispatcher.named([*named, *ids], None)
    lanes.wait_for(lambda: lanes.ended(*named, *unnamed), "the others")
    assert node.started["suspects"] == ids[:8]
    assert Task.objects.running().count() == 8
