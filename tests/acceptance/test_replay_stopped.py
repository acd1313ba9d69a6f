"""ztaskd replay, killed and stopped, and one task at a time: what has begun is gone on with, nothing is replayed twice."""

import signal
from itertools import pairwise
from pathlib import Path

import pytest

from tests.acceptance.daemon import MODULE, wait_for
from tests.acceptance.test_replay_command import call_and_fail, last_record, replay

pytestmark = [pytest.mark.acceptance, pytest.mark.both_databases]

KILLED = -9
ALWAYS = "fail.using(retry_count=0).map(range(400))"


@pytest.mark.parametrize("point", ["replay-batch-uncommitted:3", "replay-committed:3"])
def test_a_killed_replay_goes_on_where_it_was(site, point):
    """Y2. These fail again at once: none of them is replayed twice."""
    call_and_fail(site, ALWAYS)
    site.start()
    killed = site.run_in_background([*MODULE, "replay", "--function", "*fail"], ZTASKD_CRASH_AT=point)
    assert killed.wait() == KILLED, killed.text
    done = 200 if "un" in point else 300
    assert site.count(replays=1) == done
    wait_for(lambda: site.count(status="FAILED", replays=1) == done, "they have failed again")
    text = replay(site, "--function", "*fail")
    assert f"stopped after {done} of 400" in text
    assert "400 tasks queued again" in text
    site.wait_count(400, status="FAILED")
    assert site.sql("SELECT DISTINCT replays, attempts FROM django_ztask_task") == [(1, 1)]
    assert "matching tasks failed since it began" in text
    record = last_record(site)
    assert (record["matched"], record["queued"]) == (400, 400)
    assert "stopped after" not in replay(site, "--function", "*fail"), "the next one is another one"


def test_one_that_was_stopped_can_be_given_up(site):
    call_and_fail(site, "mark.map(range(400))")
    killed = site.run_in_background([*MODULE, "replay"], ZTASKD_CRASH_AT="replay-committed:1")
    assert killed.wait() == KILLED
    text = replay(site, "--anew")
    assert "going on" not in text
    assert "300 tasks queued again" in text
    assert site.sql("SELECT matched, queued FROM django_ztask_replay ORDER BY id") == [(400, 100), (300, 300)]
    assert site.sql("SELECT count(*) FROM django_ztask_replay WHERE finished IS NULL") == [0]


def test_the_limit_of_one_that_goes_on_is_still_that_of_all_of_it(site):
    call_and_fail(site, "mark.map(range(400))")
    killed = site.run_in_background(
        [*MODULE, "replay", "--limit", "250"], ZTASKD_CRASH_AT="replay-committed:2"
    )
    assert killed.wait() == KILLED
    assert "250 tasks queued again" in replay(site, "--limit", "250")
    assert site.count(status="QUEUED") == 250


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_stops_it_is_told_how_to_go_on(site, number):
    call_and_fail(site, "mark.map(range(500))")
    stopped = site.run_in_background([*MODULE, "replay", "--rate", "20/s", "--function", "*.mark"])
    wait_for(lambda: site.count(status="QUEUED"), "the first of them")
    stopped.signal(number)
    assert stopped.wait() == 1
    assert "ztaskd replay --function '*.mark' --rate 20/s" in stopped.text
    assert "Traceback" not in stopped.text
    left = site.count(status="FAILED")
    assert 0 < left < 500
    assert f"{left} not reached, still FAILED" in stopped.text
    assert "500 tasks queued again" in replay(site, "--function", "*.mark")


def test_one_that_was_suspended_for_long_ends_when_it_wakes_up_and_another_goes_on(site):
    ids = call_and_fail(site, "mark.map(range(400))")
    slowly = [*MODULE, "replay", "--rate", "20/m"]
    suspended = site.run_in_background(slowly)
    wait_for(lambda: site.count(status="QUEUED"), "the first of them")
    suspended.signal(signal.SIGSTOP)  # (it sleeps: nobody waits for a lock of its)
    wait_for(lambda: state(suspended.pid) == "T", "that it stands still")
    before = site.count(status="QUEUED")
    site.sql("UPDATE django_ztask_replay SET seen = seen - 61")
    other = site.run_in_background(slowly)
    wait_for(lambda: site.count(status="QUEUED") > before, "the other one goes on")
    suspended.signal(signal.SIGCONT)
    assert suspended.wait() == 1, suspended.text
    assert f"(pid {other.pid}) goes on with it" in suspended.text
    other.kill9()
    assert "400 tasks queued again" in replay(site)
    assert site.sql("SELECT DISTINCT replays FROM django_ztask_task") == [1]
    assert site.count(status="QUEUED") == len(ids)


def state(pid):
    """As /proc has it: T is stopped by a signal."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_one_at_a_time_means_that_no_two_overlap(site):
    call_and_fail(site, "[long.async_(0.1) for _ in range(5)]")
    site.start()
    text = replay(site, "--serial")
    assert "5 SUCCEEDED" in text
    times = site.sql("SELECT started, finished FROM django_ztask_task ORDER BY created")
    assert all(before[1] <= after[0] for before, after in pairwise(times)), times


def test_one_at_a_time_waits_for_retries_and_counts_the_ends(site):
    call_and_fail(site, "[fail_once.async_(1), fail.async_('no'), fail_once.async_(2)]")
    site.start()
    text = replay(site, "--serial")
    assert "2 SUCCEEDED, 1 FAILED" in text
    [(last, first)] = site.sql("SELECT max(started), min(finished) FROM django_ztask_task WHERE attempts = 2")
    assert first <= last


def test_without_a_daemon_one_at_a_time_waits_and_says_so(site):
    call_and_fail(site, "mark.map(range(3))")
    waiting = site.run_in_background([*MODULE, "replay", "--serial"])
    wait_for(lambda: "no daemon runs" in waiting.text, "that it waits")
    assert site.count(status="QUEUED") == 1
    site.start()
    assert waiting.wait() == 0, waiting.text
    assert "3 SUCCEEDED" in waiting.text


def test_a_serial_replay_that_was_killed_waits_for_the_task_that_it_left(site):
    ids = call_and_fail(site, f"[gated.async_(n, {str(site.gate)!r}) for n in range(3)]")
    site.start()
    killed = site.run_in_background([*MODULE, "replay", "--serial"])
    wait_for(lambda: site.task(ids[0])["status"] == "RUNNING", "the first runs")
    second = site.run_in_background([*MODULE, "replay", "--serial", "--queue", "default"])
    assert second.wait() == 1, "two at once would overlap"
    assert "--serial" in second.text
    killed.kill9()
    going_on = site.run_in_background([*MODULE, "replay", "--serial"])
    wait_for(lambda: "going on" in going_on.text, "it goes on")
    assert site.count(status="FAILED") == 2
    site.gate.touch()
    assert going_on.wait() == 0, going_on.text
    site.wait_count(3, status="SUCCEEDED")
    assert site.marks() == ["0", "1", "2"]
