"""From a call in one process to a finished row, through a real daemon."""

import pytest

from tests.acceptance.daemon import MANAGE

pytestmark = [pytest.mark.acceptance, pytest.mark.both_databases]
PROGRAM = MANAGE  # as most projects start it


def test_every_way_to_call_runs_in_the_daemon_and_gives_its_result_back(site):
    site.start()
    results = site.call("""
        import asyncio
        async def main():
            return await add.aasync(1, b=6)
        handles = [add.async_(1), add.delay(1, 2), add.after(0, 1, 3), getattr(add, "async")(1, 4)]
        handles += add.map([(1, 5), 8])
        handles += [asyncio.run(main()), add.using(priority=3).async_(1, b=7)]
        results = [handle.result(20) for handle in handles]
        assert all(handle.status == "SUCCEEDED" for handle in handles)
        assert all(type(handle.id) is str for handle in handles)
        show([add(2, 2), *results])
    """)
    assert results == [4, 1, 3, 4, 5, 6, 8, 7, 8]
    assert site.count(status="SUCCEEDED", attempts=1, failures=0) == 8


def test_a_task_runs_in_the_daemon_and_not_in_the_caller(site):
    daemon = site.start()
    pid = site.call("show(pid.async_().result(20))")
    assert pid == daemon.pid


def test_after_waits_its_time_and_little_more(site):
    site.start()
    called, task_id = site.call("""
        now = time.time()
        handle = mark.after(0.3, "later")
        show([now, handle.id])
    """)
    site.wait_status(task_id, "SUCCEEDED")
    started = float(site.ledger[0][2])
    assert 0.3 <= started - called < 1.5  # without its own timer it would wait for the sweep


def test_with_a_backlog_the_higher_priority_starts_first_then_the_earlier_call(site):
    site.call("""
        for n in range(5):
            mark.async_(f"low-{n}")
        mark.using(priority=5).map([f"middle-{n}" for n in range(5)])
        for n in range(5):
            mark.using(priority=9).async_(f"high-{n}")
        mark.using(priority=-1).async_("last")
    """)
    site.start("-c", "1")
    expected = [f"{word}-{n}" for word in ("high", "middle", "low") for n in range(5)]
    assert site.wait_marks(16) == [*expected, "last"]


def test_a_failed_task_raises_task_failed_with_its_traceback(site):
    site.start()
    text = site.call("""
        from django_ztask.errors import TaskFailed
        try:
            fail.async_("sold out").result(20)
        except TaskFailed as error:
            show(str(error))
    """)
    assert "ValueError: sold out" in text
    assert "tasks.py" in text
    assert "raise ValueError(text)" in text


def test_a_result_that_cannot_be_serialised_is_told_by_result_and_the_task_ran_once(site):
    site.start()
    status, text = site.call("""
        from django_ztask.errors import ResultUnavailable
        handle = unpicklable.async_()
        try:
            handle.result(20)
        except ResultUnavailable as error:
            show([handle.status, str(error)])
    """)
    assert status == "SUCCEEDED"
    assert "could not be serialised" in text
    assert site.count(attempts=1) == 1


def test_result_times_out_and_the_task_goes_on(site):
    site.start()
    task_id = site.call("""
        from django_ztask.errors import ResultTimeout
        handle = mark.async_("slow", 0.5)
        try:
            handle.result(0.1)
        except ResultTimeout:
            show(handle.id)
    """)
    site.wait_status(task_id, "SUCCEEDED")
    assert site.marks() == ["slow"]


def test_a_thousand_tasks_in_one_map_all_run_once(site):
    site.start()
    site.call('handles = mark.map([f"m{n}" for n in range(1200)]); handles[-1].result(30)')
    assert sorted(site.wait_marks(1200)) == sorted(f"m{n}" for n in range(1200))
    site.wait_count(1200, status="SUCCEEDED", attempts=1)


def test_any_picklable_argument_arrives_as_it_was(site):
    site.start()
    assert site.call("""
        import datetime, decimal
        values = [(1, 2), {1: "a"}, {1, 2}, b"bytes", decimal.Decimal("1.10"), float("inf"), None, True,
                  datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC), "\\0 \\ud800 \\u00fc", 2**70, [[], {}]]
        found = echo.async_(values).result(20)
        show(found == values and [type(v) for v in found] == [type(v) for v in values])
    """)


def test_current_task_tells_a_task_its_id_and_attempt(site):
    site.start()
    task_id, told = site.call("handle = who.async_(); show([handle.id, handle.result(20)])")
    assert told == [task_id, "tests.project.shop.tasks.who", 1]
