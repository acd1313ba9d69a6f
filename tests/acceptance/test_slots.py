"""Slots: each task finds a clean place, and none stops the others."""

import time

import pytest

from tests.acceptance.daemon import wait_for
from tests.acceptance.faults import lock_held, longest_gap

pytestmark = pytest.mark.acceptance


def test_what_a_task_leaves_behind_in_its_slot_does_not_reach_the_next_one(site):
    site.start("-c", "1")
    found = site.call("""
        found = []
        for leave in (leave_transaction_open, leave_atomic_open, leave_connection_closed):
            leave.async_().result(20)
            found.append(in_atomic.async_().result(20))
            order.async_(len(found)).result(20)
        show(found)
    """)
    assert found == [[False, True]] * 3  # not in a transaction, autocommit is on
    assert site.sql("SELECT number FROM shop_order") == [1, 2, 3]  # none of what was never committed


def test_a_tasks_language_does_not_reach_the_next_one(site):
    site.start("-c", "1")
    assert site.call("show([speak.async_('de').result(20), speak.async_(None).result(20)])") == [
        "de",
        "en-us",
    ]


def test_a_hundred_sleeping_tasks_share_the_time(site):
    site.start()
    seconds = site.call("""
        began = time.monotonic()
        for handle in mark.map([(f"m{n}", 0.5) for n in range(100)]):
            handle.result(40)
        show(time.monotonic() - began)
    """)
    assert len(site.marks()) == 100
    assert seconds < 10  # one after another: 50


def test_a_task_can_enqueue_tasks_and_they_start_without_the_sweep(site):
    site.start()
    site.call("enqueue_more.async_(5).result(20)")
    assert sorted(site.wait_marks(5)) == [f"child-{n}" for n in range(5)]
    waited = site.call("show(chain.async_(20).result(20))")
    assert waited < 5  # twenty generations, each enqueued by the one before; by the sweep: 20 s
    site.wait_count(0, status="RUNNING")


def test_what_on_load_enqueues_runs(new_site):
    site = new_site(
        ZTASKD_ON_LOAD=["tests.project.shop.tasks.when_loaded", "tests.project.shop.tasks.Loaded"]
    )
    daemon = site.start()
    assert site.wait_marks(1) == ["on-load"]
    assert [line for line in site.ledger if line[0] == "loaded"] == [["loaded", str(daemon.pid)]]
    site.wait_count(1, status="SUCCEEDED")


def test_what_tasks_print_is_in_the_log_file(site):
    daemon = site.start()
    site.call("say.async_('h\\u00e9llo from a task').result(20); shout.async_('from a child').result(20)")
    assert daemon.log.count("héllo from a task") == 2  # print, and print to stderr
    assert daemon.log.count("from a child\n") == 1
    assert "from a" not in daemon.text


def test_arguments_are_logged_at_debug_only(site):
    daemon = site.start("-l", "info")
    site.call("echo.async_('a-secret').result(20)")
    assert "a-secret" not in daemon.log
    assert daemon.stop() == 0
    daemon = site.start("-l", "DeBuG")
    site.call("echo.async_('a-secret').result(20)")
    assert "a-secret" in daemon.says("shop.tasks.echo starts (attempt 1)")


def test_while_another_process_holds_sqlites_lock_the_sleeping_tasks_go_on_and_nothing_fails(site):
    site.start()
    site.call("""
        from django.db import transaction
        with transaction.atomic():
            ticks.async_(300, 0.01)
            for n in range(10):
                order.after(0.3, n)
    """)
    wait_for(lambda: site.count(status="RUNNING") == 1, "the ticking task")
    with lock_held(site.database):
        time.sleep(2)  # the lock is what is tested: it has to be held for a while
    waited = site.call(
        "began = time.monotonic(); add.async_(1, 1).result(20); show(time.monotonic() - began)"
    )
    assert waited < 1  # it is free, so there is nothing to wait for
    site.wait_count(12, status="SUCCEEDED")
    assert site.count(failures=0, attempts=1) == 12
    assert sorted(site.sql("SELECT number FROM shop_order")) == list(range(10))
    assert longest_gap(site) < 0.5


def test_while_tasks_hold_sqlites_lock_in_their_own_transactions_the_others_go_on(site):
    """Each holds the lock over a sleep: the others, and the journal, wait for it without stopping the hub."""
    site.start()
    site.call("""
        from django.db import transaction
        with transaction.atomic():
            ticks.async_(150, 0.01)
            for n in range(6):
                order_slowly.async_(n, 0.2)
    """)
    site.wait_count(7, status="SUCCEEDED")
    assert site.count(failures=0, attempts=1) == 7
    assert sorted(site.sql("SELECT number FROM shop_order")) == list(range(6))
    assert longest_gap(site) < 0.5
