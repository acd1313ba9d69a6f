"""/metrics: what it says is what ran."""

import pytest

from tests.acceptance.daemon import wait_for
from tests.acceptance.probing import Probe

pytestmark = pytest.mark.acceptance

# Ends of every kind, each waited for.
CALLS = """
from django_ztask.errors import TaskFailed
ids = [add.async_(n).id for n in range(3)]
calls = [fail.async_(), fail_once.async_(7), exits.using(pool="process").async_(), cancels_itself.async_()]
add.after(3600, 1)
for handle in calls:
    try:
        handle.result(30)
    except Exception:
        pass
for task_id in ids:
    TaskHandle(task_id).result(30)
show(1)
"""


@pytest.mark.both_databases
def test_metrics_say_what_ran_and_how_it_ended(site):
    daemon = site.start("--http", "0", "--worker-pool-size", "1")
    probe = Probe(daemon)
    site.call(CALLS)
    before = probe.metrics()
    check_attempts(before)
    assert before[("commit_rows_sum",)] >= 22  # (11 claims and 11 ends)
    assert before[("commit_seconds_count",)] == before[("commit_rows_count",)] > 0
    assert before[("children",)] == 1
    assert before[("ready",)] == 1
    assert before[("process_resident_memory_bytes",)] > 1e6
    wait_for(lambda: probe.metrics()[("queue_depth", "failed")] == 2, "the journal's figures")
    after = probe.metrics()
    assert after[("queue_depth", "later")] == 1
    assert (after[("queue_depth", "due")], after[("queue_depth", "running")]) == (0, 0)
    assert all(
        after[key] >= n for key, n in before.items() if key[0].endswith(("_total", "_bucket", "_count"))
    )
    assert daemon.stop() == 0


def check_attempts(before):
    finished = {key[1:]: n for key, n in before.items() if key[0] == "tasks_finished_total" and n}
    assert finished == {
        ("tasks.add", "succeeded"): 3,
        ("tasks.fail", "retried"): 1,
        ("tasks.fail", "failed"): 1,
        ("tasks.fail_once", "retried"): 1,
        ("tasks.fail_once", "succeeded"): 1,
        ("tasks.exits", "crashed"): 2,
        ("tasks.exits", "failed"): 1,
        ("cancels.cancels_itself", "cancelled"): 1,
    }
    started = {key[1]: n for key, n in before.items() if key[0] == "tasks_started_total"}
    # (cancels_itself is in no `tasks` module: its name was known when it had ended.)
    assert started == {
        "tasks.add": 3,
        "tasks.fail": 2,
        "tasks.fail_once": 2,
        "tasks.exits": 3,
        "other": 1,
        "cancels.cancels_itself": 0,
    }
    assert before[("task_wait_seconds_count",)] == 11
    assert before[("task_run_seconds_count", "tasks.fail")] == 2
    # (Who calls in a tight loop announces some only: from the fourth call on.)
    assert 4 <= before[("tasks_enqueued_total",)] <= 7
    assert (before[("retries_total",)], before[("crashes_total",)]) == (2, 3)


def test_metrics_count_what_runs_and_what_is_refused(site):
    daemon = site.start("--http", "0", "-c", "2")
    probe = Probe(daemon)
    site.call(
        f"""
        import zmq
        peer = zmq.Context().socket(zmq.DEALER)
        peer.connect({site.settings["ZTASKD_URL"]!r})
        peer.send_multipart([b"no", b"message"])
        for n in range(3):
            gated.async_(n, {str(site.gate)!r})
        peer.close(1000)
        show(1)
        """
    )
    site.wait_count(2, status="RUNNING")
    wait_for(
        lambda: sum(n for key, n in probe.metrics().items() if key[0] == "messages_refused_total") == 1, "it"
    )
    found = probe.metrics()
    assert (found[("slots",)], found[("slots_busy",)]) == (2, 2)
    site.gate.touch()
    site.wait_marks(3)
    wait_for(lambda: probe.metrics()[("slots_busy",)] == 0, "idle slots")
