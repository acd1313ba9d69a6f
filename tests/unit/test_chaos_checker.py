"""Every verdict of the chaos runs' judge, in small tables."""

from dataclasses import replace

import pytest

from tests.chaos.checker import BATCH, Evidence, Happened, Row, judge
from tests.chaos.ledger import Calls, End, Start

SLOTS = 10
KILL = SLOTS + BATCH


def row(token, status="SUCCEEDED", **more):
    values = {"attempts": 1, "failures": 0, "interruptions": 0, "crashes": 0}
    values |= {"reason": None, "due": 100.0, "allowed": 2}
    return Row(id=f"id-{token}", token=token, status=status, **{**values, **more})


def start(token, attempt=1, boot="one", wall=100.0, moment=1.0, task_id=None):
    return Start(token, task_id or f"id-{token}", attempt, boot, wall, moment)


def end(token, attempt=1, moment=1.1, task_id=None):
    return End(token, task_id or f"id-{token}", attempt, 100.1, moment)


def told(*tokens):
    return Calls(invoked=set(tokens), told={token: f"id-{token}" for token in tokens})


def verdict(calls, starts=(), ends=(), rows=(), faults=()):
    return judge(Evidence(calls, list(starts), list(ends), list(rows), list(faults), SLOTS))


def names(report):
    assert report.valid == (not report.violations)
    return sorted(report.violations)


def done(token):
    """The evidence of a task that went well."""
    return [start(token)], [end(token)], [row(token)]


def test_a_task_that_was_accepted_and_done_is_fine():
    report = verdict(told("a"), *done("a"))
    assert names(report) == []
    assert (report.tasks, report.accepted, report.executed, report.recovered) == (1, 1, 1, 0)
    assert (report.duplicated, report.bound) == (0, 0)


@pytest.mark.parametrize(
    ("starts", "ends", "rows", "expected"),
    [
        ([], [], [], ["lost"]),
        ([start("a")], [], [], ["lost"]),
        ([], [], [row("a")], ["lost", "unfounded success"]),
        ([start("a")], [], [row("a", "CANCELLED")], ["lost"]),
        ([], [], [row("a", "QUEUED")], ["lost", "stuck"]),
        ([start("a")], [], [row("a", "FAILED", failures=3, reason=None)], ["failed too soon", "lost"]),
        ([start("a", n) for n in (1, 2, 3)], [], [row("a", "FAILED", failures=3, reason="no")], []),
        ([], [], [row("a", "FAILED", failures=0, reason="no")], ["failed too soon"]),
    ],
)
def test_lost_is_what_was_accepted_and_neither_done_nor_failed_for_a_reason(starts, ends, rows, expected):
    assert names(verdict(told("a"), starts, ends, rows)) == expected


def test_what_the_caller_was_not_told_of_may_be_missing_or_recovered():
    calls = Calls(invoked={"error", "silent", "gone"}, errors={"error": "OperationalError"})
    starts = [start("error"), start("silent")]
    report = verdict(calls, starts, [end("error"), end("silent")], [row("error"), row("silent")])
    assert names(report) == []
    assert report.recovered == 2


@pytest.mark.parametrize(
    "calls",
    [
        Calls(),
        Calls(invoked={"a"}, rolled_back={"a"}),
        Calls(invoked={"a"}, told={"a": "another id"}),
    ],
    ids=["never called", "rolled back", "another id"],
)
def test_unexpected_is_what_ran_and_should_not_have(calls):
    assert "unexpected" in names(verdict(calls, *done("a")))


def test_a_row_of_a_call_that_was_rolled_back_is_unexpected():
    report = verdict(
        Calls(invoked={"a"}, rolled_back={"a"}), rows=[row("a", "FAILED", failures=3, reason="no")]
    )
    assert names(report) == ["unexpected"]


def test_a_row_that_nobody_called_is_unexpected():
    assert names(verdict(Calls(), rows=[row("a", "FAILED", failures=3, reason="no")])) == ["unexpected"]


@pytest.mark.parametrize("status", ["QUEUED", "RUNNING"])
def test_a_row_that_is_not_final_is_stuck_even_when_its_task_is_done(status):
    assert names(verdict(told("a"), [start("a")], [end("a")], [row("a", status)])) == ["stuck"]


def test_a_row_that_is_gone_although_its_task_ran_has_vanished():
    assert names(verdict(told("a"), [start("a")], [end("a")], [])) == ["vanished"]


def test_a_success_needs_an_execution_of_this_very_row_that_came_to_its_end():
    starts, ends = [start("a", task_id="id-b")], [end("a", task_id="id-b")]
    calls = Calls(invoked={"a"}, told={"a": "id-b"})
    assert names(verdict(calls, starts, ends, [row("a")])) == ["unfounded success"]


def test_one_call_makes_one_row():
    starts, ends, rows = done("a")
    assert names(verdict(told("a"), starts, ends, [*rows, *rows])) == ["doubled row"]


@pytest.mark.parametrize(("failures", "expected"), [(3, []), (4, ["overcharged"])])
def test_failures_are_at_most_the_retries_and_one(failures, expected):
    starts = [start("a", n) for n in range(1, failures + 1)]
    rows = [row("a", "FAILED", failures=failures, reason="no")]
    assert names(verdict(told("a"), starts, [], rows)) == expected


@pytest.mark.parametrize(
    ("starts", "failures", "faults", "expected"),
    [
        ([(1, 100.0)], 0, [], []),
        ([(1, 99.9995)], 0, [], []),
        ([(1, 99.9)], 0, [], ["early"]),
        ([(1, 99.9)], 0, ["clock"], []),
        ([(1, 50.0), (2, 100.0)], 1, [], []),
        ([(1, 50.0), (2, 99.9)], 1, [], ["early"]),
    ],
    ids=["due", "rounding", "early", "the clock was moved", "a retry has its own due time", "an early retry"],
)
def test_nothing_starts_before_it_is_due(starts, failures, faults, expected):
    lines = [start("a", attempt, wall=wall, moment=wall) for attempt, wall in starts]
    happened = [Happened(kind, "one", 0.0, 1.0) for kind in faults]
    report = verdict(told("a"), lines, [end("a")], [row("a", failures=failures)], happened)
    assert names(report) == expected


# -- duplicates -------------------------------------------------------------------------------------

CHILD_KILLED = Happened("child-kill", "one", 1.5, 1.6)
KILLED = Happened("kill", "one", 2.0, 2.0)


def twice(tokens, boots=("one", "two"), **more):
    """Evidence of tasks that ran in one daemon, and then in another, or again in the same."""
    starts = [start(token, n + 1, boot, moment=1.0 + n) for token in tokens for n, boot in enumerate(boots)]
    return starts, [end(token) for token in tokens], [row(token, **more) for token in tokens]


def test_without_a_fault_nothing_may_run_twice():
    report = verdict(told("a"), *twice(["a"], ("one", "one")))
    assert names(report) == ["duplicated"]
    assert (report.duplicated, report.bound) == (1, 0)


@pytest.mark.parametrize("charged", ["failures", "interruptions", "crashes"])
def test_a_start_that_a_failure_an_interruption_or_a_crash_explains_is_no_duplicate(charged):
    report = verdict(
        told("a"), *twice(["a"], ("one", "one"), **{charged: 1, "charged": (1,)}), [CHILD_KILLED]
    )
    assert names(report) == []
    assert report.duplicated == 0


def test_there_are_no_more_crashes_than_children_that_were_killed():
    evidence = twice(["a", "b"], ("one", "one"), crashes=1, charged=(1,))
    report = verdict(told("a", "b"), *evidence, [CHILD_KILLED])
    assert names(report) == ["unfounded crash"]
    assert report.violations["unfounded crash"] == ["2 crashes, 1 faults of children: a, b"]
    report = verdict(told("a", "b"), *evidence, [CHILD_KILLED, CHILD_KILLED])
    assert names(report) == []
    assert (report.crashes, report.duplicated) == (2, 0)


def test_a_task_that_is_failed_for_its_crashes_was_failed_too_soon():
    rows = [row("a", "FAILED", crashes=3, charged=(1, 2, 3), reason="its process died")]
    starts = [start("a", n, moment=float(n)) for n in (1, 2, 3)]
    assert names(verdict(told("a"), starts, [], rows, [CHILD_KILLED] * 3)) == ["failed too soon"]


def test_the_last_failure_of_a_task_that_failed_explains_no_further_start():
    starts = [start("a", n, moment=float(n)) for n in (1, 2, 3)]
    rows = [row("a", "FAILED", allowed=1, failures=2, charged=(2, 3), reason="no")]
    report = verdict(told("a"), starts, [], rows)
    assert names(report) == ["duplicated"]
    assert report.violations["duplicated"] == ["a ran 3 times; attempt 1 in one"]


def test_a_start_that_was_repeated_is_laid_to_the_kill_and_not_to_the_failure_before():
    boots = ("zero", "one", "two")
    starts = [start("a", n + 1, boot, moment=float(n)) for n, boot in enumerate(boots)]
    rows = [row("a", failures=1, charged=(1,))]
    report = verdict(told("a"), starts, [end("a")], rows, [KILLED])
    assert names(report) == []
    assert report.per_kill == [1]


@pytest.mark.parametrize(("number", "expected"), [(KILL, []), (KILL + 1, ["duplicated"])])
def test_a_kill_may_repeat_the_slots_and_one_batch(number, expected):
    tokens = [str(n) for n in range(number)]
    report = verdict(told(*tokens), *twice(tokens), [KILLED])
    assert names(report) == expected
    assert (report.duplicated, report.bound, report.per_kill) == (number, KILL, [number])


def test_a_kill_excuses_only_what_its_own_daemon_had_started():
    report = verdict(told("a"), *twice(["a"], ("two", "three")), [KILLED])
    assert names(report) == ["duplicated"]
    assert report.per_kill == [0]


def test_a_stop_that_was_asked_for_repeats_nothing():
    report = verdict(told("a"), *twice(["a"]), [Happened("term", "one", 2.0, 2.1)])
    assert names(report) == ["duplicated"]


@pytest.mark.parametrize("kind", ["fast", "terminate", "lock", "stop", "cut", "client", "child-kill"])
def test_other_faults_repeat_nothing(kind):
    report = verdict(told("a"), *twice(["a"], ("one", "one")), [Happened(kind, "one", 1.5, 1.6)])
    assert names(report) == ["duplicated"]


def test_a_crash_of_postgresql_may_repeat_what_ran_and_what_ended_in_the_last_second():
    crash = Happened("immediate", "one", 2.0, 3.0)
    tokens = [str(n) for n in range(2 * KILL)]
    starts, ends, rows = twice(tokens, ("one", "one"))
    recent = verdict(told(*tokens), starts, [replace(each, moment=1.9) for each in ends], rows, [crash])
    assert names(recent) == []
    assert recent.bound == KILL + len(tokens)
    old = verdict(told(*tokens), starts, [replace(each, moment=0.4) for each in ends], rows, [crash])
    assert names(old) == ["duplicated"]
    assert old.bound == KILL
