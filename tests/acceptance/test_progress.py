"""A caller sees how far a task is, in slots and children alike, and how far it got when it fails or its process dies."""

import json
import re

import pytest

from tests.acceptance.daemon import wait_for
from tests.acceptance.faults import lock_held

pytestmark = pytest.mark.acceptance

# What `handle.progress` shows until each is half way: then the gate is opened.
WATCH = """
    handles = [task.using(pool=pool).async_(os.environ["GATE"])
               for task in (counts, acounts) for pool in ("greenlet", "process")]
    seen = {handle.id: [] for handle in handles}
    while not all([handle.refresh().status == "SUCCEEDED" for handle in handles]):
        for handle in handles:
            said = handle.progress
            if said is not None and said.text not in seen[handle.id]:
                seen[handle.id].append(said.text)
                assert said.text != "half" or (said.fraction == 0.5 and 0 < said.at <= time.time())
        if all("half" in texts for texts in seen.values()):
            open(os.environ["GATE"], "w").close()
        time.sleep(0.005)
    show([[handle.id, handle.progress.done, handle.progress.total, handle.progress.text] for handle in handles])
"""


def said(site, task_id):
    """What stands in the row, without its time."""
    text = site.task(task_id)["progress"]
    if text is None:
        return None
    found = json.loads(text)
    del found["at"]
    return found


def text_of(site, task_id):
    return (said(site, task_id) or {}).get("text")


@pytest.mark.both_databases
def test_a_caller_sees_it_grow_in_slots_and_in_children(site):
    site.start("--worker-pool-size", "2")
    here, there, *others = site.call(WATCH, GATE=str(site.gate))
    assert here[1:] == there[1:] == [10_000, 10_000, "done"]
    assert [other[1:] for other in others] == [[2, 2, ""]] * 2
    code, shown = site.command("show", there[0])
    assert code == 0
    assert re.search(r'progress      10,000 of 10,000 \(100 %\) "done", \S+ ago\n', shown)


ENDS = """
    def made(pool):
        return {name: task.using(pool=pool).async_(*args).id for name, task, *args in (
            ("thread", counts_in_a_thread), ("wrong", says_what_is_none), ("retried", fails_half_way),
            ("failed", fails_after, 3), ("many", fails_after, 2**80), ("silent", add, 1))}
    show([made("greenlet"), made("process")])
"""


def ends_of(site, made):
    for task_id in made.values():
        wait_for(lambda task_id=task_id: site.task(task_id)["status"] in ("SUCCEEDED", "FAILED"), "its end")
    return {name: (site.task(task_id)["status"], said(site, task_id)) for name, task_id in made.items()}


def test_its_end_keeps_how_far_it_got_alike_in_slots_and_children(site):
    site.start("--worker-pool-size", "2")
    slots, children = site.call(ENDS)
    here = ends_of(site, slots)
    assert here == ends_of(site, children)
    odd = "and then\\x00\x1b\\ud800"
    assert here == {
        "thread": ("SUCCEEDED", {"attempt": 1, "done": 3, "total": 4, "text": "in a thread"}),
        "wrong": ("SUCCEEDED", None),
        "retried": ("FAILED", {"attempt": 1, "done": 7, "total": None, "text": "the first time"}),
        "failed": ("FAILED", {"attempt": 1, "done": 3, "total": 10, "text": odd}),
        "many": ("FAILED", {"attempt": 1, "done": 2.0**80, "total": 10, "text": odd}),
        "silent": ("SUCCEEDED", None),
    }


def test_what_a_child_said_before_it_was_killed_is_known(site):
    site.start()
    task_id = site.call("show(dies_after.using(pool='process', retry_count=0).async_(4).id)")
    assert site.wait_status(task_id, "SUCCEEDED")["crashes"] == 1
    assert said(site, task_id) == {"attempt": 1, "done": 4, "total": 10, "text": ""}
    assert site.call(f"show(TaskHandle({task_id!r}).refresh().progress)") is None, (
        "the second has said nothing"
    )


def test_a_daemon_that_is_killed_leaves_what_was_written(site):
    daemon = site.start()
    made = site.call(
        f"show([counts.using(pool=pool).async_({str(site.gate)!r}).id for pool in ('greenlet', 'process')])"
    )
    for task_id in made:
        wait_for(lambda task_id=task_id: text_of(site, task_id) == "half", "it to be half done")
    daemon.kill9()
    site.gate.touch()
    assert [said(site, task_id)["attempt"] for task_id in made] == [1, 1]
    site.start()
    for task_id in made:
        site.wait_status(task_id, "SUCCEEDED")
        assert said(site, task_id) == {"attempt": 2, "done": 10_000, "total": 10_000, "text": "done"}


def test_a_locked_journal_delays_it_and_stops_no_task(site):
    daemon = site.start()
    task_id = site.call(f"show(counts.async_({str(site.gate)!r}).id)")
    wait_for(lambda: text_of(site, task_id) == "half", "it to be half done")
    with lock_held(site.database):
        site.gate.touch()
        wait_for(lambda: ["counted", task_id] in site.ledger, "it to go on to its end")
        assert said(site, task_id)["text"] == "half"
    site.wait_status(task_id, "SUCCEEDED")
    assert said(site, task_id)["text"] == "done"
    assert "degraded: " not in daemon.log


def test_an_eager_call_has_it_on_its_handle(new_site):
    site = new_site(ZTASKD_ALWAYS_EAGER=True)
    site.gate.touch()
    found = site.call(
        f"handle = counts.async_({str(site.gate)!r}); show([handle.progress.done, handle.progress.text])"
    )
    assert found == [10_000, "done"]
