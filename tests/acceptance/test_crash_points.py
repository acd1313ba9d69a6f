"""kill -9 at every named point of a task's way: what was accepted runs, and only what ran runs again."""

import pytest

from django_ztask.crashpoints import POINTS
from tests.acceptance.daemon import wait_for

pytestmark = [pytest.mark.acceptance, pytest.mark.faults, pytest.mark.both_databases]

KILLED = -9

# Where the daemon dies while it handles its first task: how often that task then runs, and is claimed.
IN_THE_DAEMON = {
    "intake-decoded": (1, 1),
    "claim-uncommitted": (1, 1),
    "claim-committed": (1, 2),
    "attempt-starts": (1, 2),
    "attempt-ended": (2, 2),
    "finish-gathered": (2, 2),
    "finish-uncommitted": (2, 2),
    "finish-committed": (1, 1),
}

IN_A_CHILD = ["child-ended", "child-sent"]  # (test_children_faults.py)
CALLERS = [
    "caller-before-insert",
    "caller-before-commit",
    "caller-before-message",
    "caller-unsynced",
    "caller-cancelled",
]
OTHERS = ["attempt-cancelled", "recover-uncommitted", "replay-uncommitted", "prune-uncommitted"]
OF_COMMANDS = ["replay-batch-uncommitted", "replay-committed"]  # test_replay_stopped.py
OF_PAUSES = ["pause-committed", "aside-uncommitted", "back-uncommitted"]  # test_pause_faults.py


assert sorted(POINTS) == sorted([*IN_THE_DAEMON, *IN_A_CHILD, *CALLERS, *OTHERS, *OF_COMMANDS, *OF_PAUSES]), (
    "every point has its test"
)


def die_at(site, point, *args):
    """A daemon that has died at that point."""
    daemon = site.start(*args, ready=False, ZTASKD_CRASH_AT=point)
    assert daemon.wait() == KILLED, daemon.log
    return daemon


@pytest.mark.parametrize("point", IN_THE_DAEMON)
def test_the_daemon_dies_in_the_midst_of_a_task(site, point):
    runs, claims = IN_THE_DAEMON[point]
    doomed = site.start("-c", "1", ZTASKD_CRASH_AT=point)
    first, second = site.call("show([handle.id for handle in mark.map(['first', 'second'])])")
    assert doomed.wait() == KILLED, doomed.log
    finished = site.count(status="SUCCEEDED")
    assert finished == (1 if point == "finish-committed" else 0)
    daemon = site.start("-c", "1")
    row = site.wait_status(first, "SUCCEEDED")
    site.wait_status(second, "SUCCEEDED")
    assert (row["attempts"], row["failures"], row["crashes"], row["interruptions"]) == (claims, 0, 0, 0)
    assert site.marks().count("first") == runs
    assert site.marks().count("second") == 1
    assert daemon.stop() == 0


# (No message comes again; what is finished does not run again.)
@pytest.mark.parametrize("point", sorted(IN_THE_DAEMON.keys() - {"intake-decoded", "finish-committed"}))
def test_the_daemon_dies_in_the_midst_of_a_task_and_again_when_it_runs_that_as_a_suspect(site, point):
    runs, claims = IN_THE_DAEMON[point]
    task_id = site.call("show(mark.async_('first').id)")
    for _ in range(2):
        die_at(site, point, "-c", "1")
    daemon = site.start("-c", "1")
    row = site.wait_status(task_id, "SUCCEEDED")
    assert (row["attempts"], row["failures"], row["interruptions"]) == (2 * claims - 1, 0, 0)
    assert row["crashes"] == 0
    assert site.marks() == ["first"] * (2 * runs - 1)
    assert daemon.stop() == 0


def test_a_caller_that_dies_before_its_insert_or_its_commit_has_called_nothing(site):
    caller = site.spawn("mark.async_('never')", ZTASKD_CRASH_AT="caller-before-insert")
    assert caller.wait() == KILLED
    code = """
        from django.db import transaction
        with transaction.atomic():
            Order.objects.create(number=1)
            mark.async_('never')
    """
    caller = site.spawn(code, ZTASKD_CRASH_AT="caller-before-commit")
    assert caller.wait() == KILLED
    assert site.count() == 0
    assert site.sql("SELECT count(*) FROM shop_order") == [0]


@pytest.mark.parametrize(
    ("transaction", "point"),
    [(False, "caller-before-message"), (False, "caller-unsynced"), (True, "caller-before-message")],
)
def test_the_task_of_a_caller_that_dies_after_its_commit_runs(site, transaction, point):
    daemon = site.start()
    code = "mark.async_('said')"
    if transaction:
        code = f"""
from django.db import transaction
with transaction.atomic():
    Order.objects.create(number=1)
    {code}
"""
    caller = site.spawn(code, ZTASKD_CRASH_AT=point)
    assert caller.wait() == KILLED
    site.wait_count(1, status="SUCCEEDED")
    assert site.marks() == ["said"]
    assert site.sql("SELECT count(*) FROM shop_order") == [int(transaction)]
    assert daemon.stop() == 0


def test_a_caller_that_dies_before_its_message_has_cancelled_all_the_same(site):
    daemon = site.start()
    task_id = site.call("show(long.async_(60).id)")
    wait_for(lambda: site.ledger, "the task to begin")
    caller = site.spawn(f"TaskHandle({task_id!r}).cancel()", ZTASKD_CRASH_AT="caller-cancelled")
    assert caller.wait() == KILLED
    site.wait_status(task_id, "CANCELLED")
    assert daemon.stop() == 0


def test_the_daemon_dies_while_a_cancelled_task_ends(site):
    doomed = site.start(ZTASKD_CRASH_AT="attempt-cancelled")
    task_id = site.call("show(long.async_(60).id)")
    wait_for(lambda: site.ledger, "the task to begin")
    assert site.call(f"show(TaskHandle({task_id!r}).cancel())") is True
    assert doomed.wait() == KILLED, doomed.log
    assert site.task(task_id)["status"] == "RUNNING"
    daemon = site.start()
    row = site.wait_status(task_id, "CANCELLED")
    assert (row["attempts"], row["failures"]) == (1, 0)
    assert [line[0] for line in site.ledger] == ["began", "cleaned"], "it does not begin again"
    assert daemon.stop() == 0


def test_the_daemon_dies_while_it_recovers_another(site):
    daemon = site.start("-c", "1")
    task_id = site.call(f"show(gated.async_('recovered', {str(site.gate)!r}).id)")
    site.wait_status(task_id, "RUNNING")
    daemon.kill9()
    site.gate.touch()
    for _ in range(2):
        die_at(site, "recover-uncommitted", "-c", "1")
        assert site.task(task_id)["status"] == "RUNNING"
    daemon = site.start("-c", "1")
    assert site.wait_status(task_id, "SUCCEEDED")["attempts"] == 2
    assert site.marks() == ["recovered"]
    assert daemon.stop() == 0


def test_the_daemon_dies_while_it_replays(site):
    daemon = site.start()
    gate = site.gate
    ids = site.call("show([fail_unless.async_(os.environ['GATE']).id for n in range(5)])", GATE=str(gate))
    for task_id in ids:
        site.wait_status(task_id, "FAILED")
    assert daemon.stop() == 0
    gate.touch()
    die_at(site, "replay-uncommitted", "--replayfailed")
    assert site.count(status="FAILED") == 5
    die_at(site, "claim-committed", "--replayfailed")
    assert site.count(status="FAILED") == 0
    daemon = site.start()  # without the flag: what was replayed stays so
    for task_id in ids:
        assert site.wait_status(task_id, "SUCCEEDED")["replays"] == 1
    assert len(site.ledger) == 5
    assert daemon.stop() == 0


def test_the_daemon_dies_while_it_prunes(new_site):
    site = new_site(ZTASKD_KEEP=0.5)
    doomed = site.start(ZTASKD_CRASH_AT="prune-uncommitted:2")
    site.call("fail_once.map(range(120))")  # (their results may be pruned before they are asked for)
    assert doomed.wait() == KILLED
    kept = set(
        site.sql("SELECT uuid FROM django_ztask_task WHERE failures > 0")
    )  # (others may not have begun)
    assert set(site.sql("SELECT task_id FROM django_ztask_attempt")) == kept, "with each task go its attempts"
    daemon = site.start()
    site.wait_count(0)
    assert site.sql("SELECT count(*) FROM django_ztask_attempt") == [0]
    assert wait_for(lambda: "were deleted" in daemon.log, "the line about it")
    assert daemon.stop() == 0
