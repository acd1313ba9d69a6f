"""`async def` task functions, in slots and in children."""

import re
import time

import pytest

from tests.acceptance.daemon import wait_for
from tests.acceptance.faults import longest_gap

pytestmark = pytest.mark.acceptance

CHILD = ("--multiprocess", "--worker-pool-size", "1")
places = pytest.mark.parametrize("options", [(), CHILD], ids=["slot", "child"])


@pytest.mark.both_databases
def test_what_asyncio_and_djangos_async_orm_have_works(site):
    site.start()
    orm, tools, who, more = site.call("""
        handles = [aorm.async_(1), atools.delay('/'), awho.after(0.01), aenqueue.map([5])[0]]
        show([handle.result(20) for handle in handles])
    """)
    assert orm == [1, [1, 2, 3], 1]
    assert tools == ["a", "b", "c", "timeout", "d", "thread", "HELLO\n", ["hello\n", 7]]
    assert (who[0], who[2]) == (1, 1), "one and the same id, wherever it is asked for"
    assert more == [6, 7]


@pytest.mark.both_databases
def test_many_coroutines_run_at_a_time_and_beside_the_slots(site):
    site.start()
    seconds = site.call("""
        ticks.async_(50, 0.01)
        began = time.monotonic()
        for handle in aecho.map([(n, 0.5) for n in range(90)]):
            handle.result(40)
        show(time.monotonic() - began)
    """)
    assert seconds < 10  # one after another: 45
    assert longest_gap(site) < 0.5


@pytest.mark.both_databases
def test_fifty_tasks_each_make_their_own_orm_calls_and_none_waits_for_another(site, vendor):
    site.start()
    if vendor == "postgresql":
        seconds = site.call("""
            began = time.monotonic()
            for handle in asleeps_in_database.map([0.5] * 50):
                handle.result(40)
            show(time.monotonic() - began)
        """)
        assert seconds < 10  # one after another: 25
    site.call("for handle in aorm.map(range(1000, 1500, 10)): handle.result(40)")
    assert sorted(site.sql("SELECT number FROM shop_order")) == sorted(
        number + n for number in range(1000, 1500, 10) for n in range(3)
    )


@pytest.mark.both_databases
def test_a_transaction_that_is_left_open_reaches_no_other_task(site):
    site.start("-c", "1")
    found = site.call("""
        found = []
        for way in ("part", "thread"):
            aleave_transaction_open.async_(way).result(20)
            found += [in_atomic.async_().result(20), ain_atomic.async_(way).result(20)]
            aorm.async_(1).result(20)
        show(found)
    """)
    assert found == [[False, True]] * 4
    assert site.sql("SELECT number FROM shop_order WHERE number = 666") == []


def test_hundreds_of_tasks_leave_nothing_behind(site, figure):
    site.start("-c", "20")
    before, after, seconds = site.call("""
        def burst():
            for handle in aorm.map(range(100)) + atools.map(["/"] * 4) + awho.map([()] * 96):
                handle.result(60)
        burst()
        before = aresources.async_().result(20)
        began = time.monotonic()
        burst()
        burst()
        seconds = time.monotonic() - began
        show([before, aresources.async_().result(20), seconds])
    """)
    figure(
        f"async tasks: 400 in {seconds:.1f} s; threads, files, tasks of asyncio, MiB: {before}, then {after}"
    )
    assert after[2] == before[2] == 2
    assert after[0] <= before[0] + 32  # (asyncio.to_thread's come when they are needed)
    assert after[1] <= before[1] + 5


@places
def test_a_limit_cancels_a_coroutine_and_waits_for_its_clean_up(site, options):
    site.start(*options)
    task_id = site.call("show(acleans.async_(30).id)")
    row = site.wait_status(task_id, "FAILED")
    assert row["last_exception"].startswith("django_ztask.errors.TimeLimitExceeded: the task ran longer")
    assert "in acleans\n    await asyncio.sleep(seconds)" in row["traceback"]
    assert ["cleaned", task_id, "CancelledError"] in site.ledger
    assert site.sql("SELECT number FROM shop_order") == [7]


@places
def test_a_limit_in_a_synchronous_part_rolls_its_transaction_back(site, options):
    site.start(*options)
    task_id = site.call("show(aslow_part.async_(30).id)")
    row = site.wait_status(task_id, "FAILED")
    assert row["last_exception"].startswith("django_ztask.errors.TimeLimitExceeded")
    assert "in aslow_part" in row["traceback"]
    assert "in _order_slowly" in row["traceback"]
    assert site.call("show(aorm.async_(1).result(20)[0])") == 1
    assert site.sql("SELECT number FROM shop_order WHERE number = 999") == []


@places
def test_a_stopping_node_interrupts_a_coroutine_and_hands_it_back(site, options):
    daemon = site.start(*options, "--grace", "0")
    task_id = site.call("show(acleans.using(timeout=None).async_(30, 'interrupted').id)")
    wait_for(lambda: ["began", task_id] in site.ledger, "it to begin")
    assert daemon.stop() == 0
    row = site.task(task_id)
    assert (row["status"], row["interruptions"], row["failures"]) == ("QUEUED", 1, 0)
    assert ["interrupted", task_id, "CancelledError"] in site.ledger
    assert " stopped" in daemon.log


def test_a_coroutine_that_waits_without_await_holds_up_coroutines_only(site):
    daemon = site.start("--grace", "0")
    blocker = site.call("show(ablock.async_(30).id)")
    wait_for(lambda: ["began", blocker] in site.ledger, "it to begin")
    assert site.call("show(add.async_(1, 2).result(20))") == 3, "slots go on"
    other = site.call("show(aecho.async_('waits').id)")
    wait_for(lambda: site.task(other)["status"] == "RUNNING", "the other to be claimed")
    assert daemon.stop() == 0
    assert site.task(blocker)["interruptions"] == 1


def test_a_coroutine_that_never_yields_is_ended_by_its_limit_in_a_child(site):
    site.start(*CHILD)
    task_id = site.call("show(aspin.using(timeout=0.2).async_(60).id)")
    row = site.wait_status(task_id, "FAILED", 20)
    assert row["last_exception"] == (
        "django_ztask.errors.TimeLimitExceeded: the task ran longer than its timeout of 0.2 s"
    )
    assert "in aspin" in row["traceback"]
    assert site.call("show(aecho.async_('next').result(20))") == "next"
    hard = site.call("show(aspin.using(hard_timeout=0.3).async_(60).id)")
    assert "hard time limit" in site.wait_status(hard, "FAILED", 20)["last_exception"]


@places
def test_what_a_coroutine_has_started_ends_with_it(site, options):
    daemon = site.start(*options)
    assert site.call("show(aleave.async_().result(20))") == "left"
    assert sorted(site.ledger) == [["left", "cancelled"], ["left", "thread"]]
    assert site.call("show(anasty.async_('subtask exits').id)")
    assert site.call("show(aecho.async_('the loop goes on').result(20))") == "the loop goes on"
    assert daemon.stop() == 0


@places
def test_what_coroutines_log_is_in_the_log_with_their_ids(site, options):
    daemon = site.start(*options)
    task_id = site.call("handle = alog.async_('careful'); handle.result(20); show(handle.id)")
    for text in ("careful", "careful from a part"):
        line = daemon.says(f"{text}\n".strip())
        assert re.search(rf"shop WARNING task {task_id}: careful", line)


def test_an_eager_call_runs_the_coroutine(new_site):
    site = new_site(ZTASKD_ALWAYS_EAGER=True)
    found = site.call("""
        import asyncio
        async def main():
            return [(await aecho.aasync("from a loop")).result(), (await aorm.aasync(1)).result()]
        show([aecho.async_("here").result(), asyncio.run(main()), asyncio.run(aecho("itself"))])
    """)
    assert found == ["here", ["from a loop", [1, [1, 2, 3], 1]], "itself"]


def test_a_stop_with_nothing_but_an_idle_loop_is_quick(site):
    daemon = site.start()
    site.call("aecho.async_(1).result(20)")
    began = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - began < 10
