"""Callers that die, roll back, end at once, or find no daemon, or a stopped one."""

import signal
import time

import pytest

from tests.acceptance.daemon import wait_for

pytestmark = pytest.mark.acceptance


def test_a_caller_that_dies_between_commit_and_message_has_its_task_run_by_the_sweep(site):
    site.start()
    site.call(
        """
        from django.db import transaction
        from django_ztask import transport
        transport.send = lambda *names: os.kill(os.getpid(), 9)
        with transaction.atomic():
            Order.objects.create(number=1)
            mark.async_("orphan")
        """,
        exit_code=-9,
    )
    died = time.time()
    assert site.wait_marks(1) == ["orphan"]
    assert float(site.ledger[0][2]) - died < 5
    assert site.sql("SELECT number FROM shop_order") == [1]


def test_a_caller_that_dies_before_commit_leaves_neither_order_nor_task(site):
    site.start()
    site.call(
        """
        from django.db import transaction
        with transaction.atomic():
            Order.objects.create(number=1)
            mark.async_("never")
            os.kill(os.getpid(), 9)
        """,
        exit_code=-9,
    )
    site.call("mark.async_('witness').result(20)")
    assert site.marks() == ["witness"]
    assert site.sql("SELECT number FROM shop_order") == []
    assert site.count() == 1


def test_savepoints_hold_for_tasks_and_their_messages(site):
    site.start()
    waited = site.call("""
        from django.db import transaction
        def back():
            with transaction.atomic():
                mark.async_("rolled-back")
                raise RuntimeError
        with transaction.atomic():
            mark.async_("first")
            with transaction.atomic():
                mark.async_("inner")
            try:
                back()
            except RuntimeError:
                pass
            last = mark.async_("last")
        began = time.monotonic()
        last.result(20)
        show(time.monotonic() - began)
    """)
    assert sorted(site.wait_marks(3)) == ["first", "inner", "last"]
    assert waited < 5
    assert site.count() == 3


def test_in_a_manual_transaction_a_task_exists_once_it_is_committed(site):
    site.start()
    site.call("""
        from django.db import transaction
        transaction.set_autocommit(False)
        mark.async_("no")
        transaction.rollback()
        mark.async_("yes")
        transaction.commit()
    """)
    assert site.wait_marks(1) == ["yes"]
    site.wait_count(1, status="SUCCEEDED")
    assert site.count() == 1


def test_without_a_daemon_calls_are_fast_and_their_tasks_run_at_its_start(site):
    first, seconds = site.call("""
        began = time.monotonic()
        mark.async_("first")
        first = time.monotonic() - began
        for n in range(200):
            mark.async_(f"m{n}")
        show([first, time.monotonic() - began])
    """)
    assert first < 2
    assert seconds < 10
    assert site.count(status="QUEUED") == 201
    site.start()
    site.wait_count(201, status="SUCCEEDED", attempts=1)
    assert len(site.marks()) == len(set(site.marks())) == 201


def test_while_the_daemon_is_stopped_calls_are_fast_and_their_tasks_run_when_it_goes_on(site):
    daemon = site.start()
    site.call("mark.async_('warm').result(20)")
    daemon.signal(signal.SIGSTOP)
    seconds = site.call("""
        began = time.monotonic()
        for n in range(300):
            mark.async_(f"m{n}")
        show(time.monotonic() - began)
    """)
    assert seconds < 10
    assert site.count(status="QUEUED") == 300
    daemon.signal(signal.SIGCONT)
    site.wait_count(301, status="SUCCEEDED", attempts=1)
    assert len(site.marks()) == len(set(site.marks())) == 301


def test_a_script_that_ends_right_after_its_call_gets_its_message_out(site):
    """Five of them: by the sweep, their mean wait would be half a second."""
    site.start()
    waits = []
    for n in range(5):
        called = site.call("handle = mark.async_('quick'); called = time.time(); show(called)")
        wait_for(lambda n=n: len(site.ledger) > n, "its task")
        waits.append(float(site.ledger[-1][2]) - called)
    assert sorted(waits)[2] < 0.3, waits


def test_a_script_that_ends_while_no_daemon_is_there_does_not_linger(site):
    seconds = site.call("""
        import atexit
        began = time.monotonic()
        atexit.register(lambda: show(time.monotonic() - began))  # (runs last: registered before the call's)
        mark.async_("quick")
    """)
    assert seconds < 2
