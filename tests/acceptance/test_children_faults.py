"""Faults of child processes at exact moments: one that dies after its task's end, before or after it has said so; a
daemon that dies with that end in its hands; a child that stands still; results and exceptions that cannot travel.
"""

import contextlib
import os
import signal

import pytest

from tests.acceptance.daemon import wait_for
from tests.acceptance.faults import lock_held
from tests.chaos.victims import children, is_alive

pytestmark = [pytest.mark.acceptance, pytest.mark.faults]

ONE = ("--multiprocess", "--worker-pool-size", "1")

# A task that says that it has begun and then waits for the gate.
GATED = "from tests.project.shop.litter import capture; show(capture.using({options}).async_({word!r}, {gate!r}).id)"


@pytest.mark.both_databases
def test_a_child_that_dies_before_it_has_said_that_its_task_ended_runs_it_again(site):
    daemon = site.start(*ONE, ZTASKD_CRASH_AT="child-ended:2")  # (each child's second task)
    first, second = site.call("show([handle.id for handle in mark.map(['first', 'second'])])")
    row = site.wait_status(second, "SUCCEEDED")
    assert (row["attempts"], row["crashes"], row["failures"], row["retry_count"]) == (2, 1, 0, 2)
    assert site.task(first)["attempts"] == 1
    assert site.marks() == ["first", "second", "second"]
    assert daemon.stop() == 0


@pytest.mark.both_databases
def test_a_child_that_dies_between_its_result_and_the_commit_has_succeeded_once(site, vendor):
    daemon = site.start(*ONE, ZTASKD_CRASH_AT="child-sent")
    task_id = gated(site, "sent")
    [child] = children(daemon.pid)
    with journal_held(site, vendor):
        site.gate.touch()
        wait_for(lambda: not is_alive(child), "the child's end")
        daemon.says("it ended while it was idle")
        assert site.task(task_id)["status"] == "RUNNING", "nothing can have been committed"
    row = site.wait_status(task_id, "SUCCEEDED")
    assert (row["attempts"], row["crashes"]) == (1, 0)
    site.call("mark.async_('after').result(20)")
    assert site.ledger[0] == ["captures", "sent"]
    assert site.marks() == ["after"]
    assert site.task(task_id)["attempts"] == 1
    assert daemon.stop() == 0


@pytest.mark.both_databases
@pytest.mark.parametrize("point", ["attempt-ended", "finish-gathered", "finish-uncommitted"])
def test_a_daemon_that_dies_with_a_childs_result_in_its_hands_runs_the_task_again(site, point):
    doomed = site.start(*ONE, ZTASKD_CRASH_AT=point)
    [child] = wait_for(lambda: children(doomed.pid), "its child")
    task_id = site.call("show(mark.async_('again').id)")
    assert doomed.wait() == -signal.SIGKILL, doomed.log
    wait_for(lambda: not is_alive(child), "the child to be gone")
    daemon = site.start(*ONE)
    row = site.wait_status(task_id, "SUCCEEDED")
    assert (row["attempts"], row["crashes"], row["failures"]) == (2, 0, 0)
    assert site.marks() == ["again", "again"]
    assert daemon.stop() == 0


def test_a_child_that_stands_still_stops_nobody_and_goes_on_when_it_is_let(site):
    daemon, task_id, child = with_a_stopped_child(site, "pool='process'")
    site.gate.touch()
    site.call(
        "[add.using(pool=pool).async_(1, 2).result(20) for pool in ('process', 'greenlet') for n in range(9)]"
    )
    row = site.task(task_id)
    assert (row["status"], row["attempts"]) == ("RUNNING", 1)
    os.kill(child, signal.SIGCONT)
    row = site.wait_status(task_id, "SUCCEEDED")
    assert (row["attempts"], row["crashes"]) == (1, 0)
    assert child in children(daemon.pid)
    assert daemon.stop() == 0


def test_a_child_that_stands_still_is_killed_at_its_tasks_hard_limit(site):
    options = "pool='process', timeout=1, hard_timeout=2, retry_count=0"
    daemon, task_id, child = with_a_stopped_child(site, options)
    assert site.call("show(add.using(pool='process').async_(1, 2).result(20))") == 3
    row = site.wait_status(task_id, "FAILED")
    assert row["last_exception"] == "the hard time limit of 2 s: its process was killed"
    assert (row["failures"], row["crashes"]) == (1, 0)
    wait_for(lambda: not is_alive(child), "the child to be gone")
    assert daemon.stop() == 0


def test_a_stop_hands_back_the_task_of_a_child_that_stands_still(site):
    daemon, task_id, child = with_a_stopped_child(site, "pool='process'", "--grace", "0.2")
    assert daemon.stop() == 0
    assert not is_alive(child)
    row = site.task(task_id)
    assert (row["status"], row["interruptions"], row["crashes"]) == ("QUEUED", 1, 0)


def test_a_daemon_that_is_killed_takes_along_busy_idle_and_stopped_children(site):
    daemon, task_id, stopped = with_a_stopped_child(site, "pool='process'", "--worker-pool-size", "3")
    site.call("stubborn.using(pool='process').async_(60); hog.using(pool='process').async_(60)")
    wait_for(lambda: sum(line[0] == "began" for line in site.ledger) == 2, "both to begin")
    found = children(daemon.pid)
    assert len(found) == 3
    assert stopped in found
    daemon.kill9()
    wait_for(lambda: not any(map(is_alive, found)), "all of them to be gone")
    assert site.task(task_id)["status"] == "RUNNING", "until the next daemon recovers it"


def test_what_cannot_travel_from_a_child_costs_neither_the_child_nor_another_task(site):
    daemon = site.start(*ONE)
    before, failed, odd, large, after = site.call("""
        kinds = ["exit", "keyboard", "generator", "recursion", "group", "str", "str-exit", "str-type"]
        failed = [nasty.async_(kind).id for kind in [*kinds, "nul", "surrogate", "huge"]]
        odd = [unpicklable.async_().id, returns_poison.async_().id]
        large = echo.async_("x" * 3_000_000)
        show([pid.async_().result(20), failed, odd, len(large.result(20)), pid.async_().result(20)])
    """)
    for task_id in failed:
        row = site.wait_status(task_id, "FAILED")
        assert (row["attempts"], row["failures"], row["crashes"]) == (1, 1, 0)
        assert row["last_exception"]
    for task_id in odd:
        row = site.wait_status(task_id, "SUCCEEDED")
        assert (row["attempts"], row["crashes"]) == (1, 0)
        assert row["result"].startswith("repr:")
    assert large == 3_000_000
    assert after == before == children(daemon.pid)[0]
    assert daemon.stop() == 0


def gated(site, word, options=""):
    """A task of that word that has begun in a child, and ends when there is the gate."""
    task_id = site.call(GATED.format(options=options, word=word, gate=str(site.gate)))
    wait_for(lambda: ["captures", word] in site.ledger, "it to begin")
    return task_id


def with_a_stopped_child(site, options, *args):
    """A daemon, a gated task that runs in a child, and that child, which stands still. (Children are started when they
    are first needed: there is no other one yet.)"""
    daemon = site.start(*(args if "--worker-pool-size" in args else ("--worker-pool-size", "2", *args)))
    task_id = gated(site, "stopped", options)
    [child] = children(daemon.pid)
    os.kill(child, signal.SIGSTOP)
    return daemon, task_id, child


@contextlib.contextmanager
def journal_held(site, vendor):
    """Nobody can change a row of a task meanwhile; everybody can read."""
    if vendor == "sqlite":
        with lock_held(site.database):
            yield
    else:
        with site.made.connect() as connection, connection.transaction():
            connection.execute("LOCK TABLE django_ztask_task IN EXCLUSIVE MODE")
            yield
