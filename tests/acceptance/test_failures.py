"""Tasks that fail, in every way a task can: recorded, retried, and nobody else is harmed."""

from datetime import datetime
from itertools import pairwise

import pytest

from tests.acceptance.daemon import wait_for

pytestmark = [pytest.mark.acceptance, pytest.mark.both_databases]

KINDS = [
    "exit",
    "greenlet-exit",
    "keyboard",
    "generator",
    "gevent-timeout",
    "interrupted",
    "group",
    "str",
    "str-exit",
    "str-type",
    "nul",
    "surrogate",
    "huge",
    "recursion",
]


def pauses(site, task_id):
    """Seconds between the end of each failed attempt and the start of the next one."""
    query = "SELECT started, finished FROM django_ztask_attempt WHERE task_id = ? ORDER BY attempt"
    rows = site.sql(query, task_id)
    times = [[datetime.fromisoformat(str(text)) for text in row] for row in rows]
    return [(b[0] - a[1]).total_seconds() for a, b in pairwise(times)]


def test_a_failing_task_is_retried_with_growing_pauses_then_failed_with_a_row_for_each_attempt(site):
    daemon = site.start()
    task_id = site.call("show(fail.using(retry_count=3, retry_after=0.1, backoff=2).async_('sold out').id)")
    row = site.wait_status(task_id, "FAILED")
    assert (row["attempts"], row["failures"], row["retry_count"]) == (4, 4, 0)
    assert row["last_exception"] == "ValueError: sold out"
    assert row["traceback"].startswith("Traceback")
    assert row["failed"] is not None
    found = pauses(site, task_id)
    assert len(found) == 3
    for pause, least in zip(found, (0.1, 0.2, 0.4), strict=True):
        assert least - 0.01 <= pause < least + 1.5
    kinds = site.sql("SELECT kind, exception FROM django_ztask_attempt WHERE task_id = ?", task_id)
    assert kinds == [("failure", "ValueError: sold out")] * 4
    assert "will be retried in" in daemon.log
    assert "--replayfailed" in daemon.says("no retries left")


def test_a_task_without_options_is_retried_as_the_settings_say(new_site):
    site = new_site(ZTASKD_RETRY_COUNT=2, ZTASKD_RETRY_AFTER=0.02)
    site.start()
    task_id = site.call("show(touchy.async_('no').id)")
    row = site.wait_status(task_id, "FAILED")
    assert (row["attempts"], row["failures"], row["retry_count"]) == (3, 3, 0)


def test_a_task_that_succeeds_at_its_second_attempt_is_succeeded(site):
    site.start()
    task_id = site.call("handle = at_second_attempt.async_(); assert handle.result(20) == 2; show(handle.id)")
    row = site.task(task_id)
    assert (row["status"], row["attempts"], row["failures"]) == ("SUCCEEDED", 2, 1)


def test_a_task_that_runs_longer_than_its_timeout_is_stopped(site):
    site.start()
    slow, long = site.call("show([slow.async_(30).id, slow.using(timeout=20).async_(0.3).id])")
    row = site.wait_status(slow, "FAILED", 10)
    assert "TimeLimitExceeded" in row["last_exception"]
    assert "time.sleep(seconds)" in row["traceback"]
    site.wait_status(long, "SUCCEEDED")


def test_whatever_a_task_raises_is_recorded_and_its_neighbours_are_committed(site):
    """All are in one transaction, so they are claimed, run and finished in the same batches."""
    failed, fine = site.call(f"""
        from django.db import transaction
        failed, fine = {{}}, []
        with transaction.atomic():
            for kind in {KINDS}:
                fine.append(mark.async_("before-" + kind).id)
                failed[kind] = nasty.async_(kind).id
                fine.append(mark.async_("after-" + kind).id)
        show([failed, fine])
    """)
    daemon = site.start()
    for kind, task_id in failed.items():
        row = site.wait_status(task_id, "FAILED")
        assert (row["attempts"], row["failures"]) == (1, 1), kind
        assert row["last_exception"], kind
        assert len(row["last_exception"]) <= 2000, kind
        assert row["traceback"], kind
        assert site.sql("SELECT count(*) FROM django_ztask_attempt WHERE task_id = ?", task_id) == [1]
    for task_id in fine:
        assert site.wait_status(task_id, "SUCCEEDED")["attempts"] == 1
    assert site.call("show(add.async_(1, 1).result(20))") == 2
    assert "service" not in daemon.log
    assert daemon.stop() == 0


def test_arguments_and_results_that_break_when_they_are_pickled_harm_nobody_else(site):
    daemon = site.start()
    bad, result = site.call("""
        from django.db import transaction
        with transaction.atomic():
            bad = [echo.using(retry_count=0).async_(Poison())]
            result = returns_poison.async_()
            fine = mark.async_("fine")
        fine.result(20)
        show([[handle.id for handle in bad], result.id])
    """)
    for task_id in bad:
        row = site.wait_status(task_id, "FAILED")
        assert row["attempts"] == 1
    assert site.wait_status(result, "SUCCEEDED")["attempts"] == 1
    assert site.marks() == ["fine"]
    assert daemon.stop() == 0


def test_an_argument_that_cannot_be_pickled_is_refused_in_the_caller_by_name(site):
    text = site.call("""
        try:
            add.async_(1, b=lambda: None)
        except Exception as error:
            show(f"{type(error).__name__}: {error}")
    """)
    assert text.startswith("ArgumentError")
    assert "'b'" in text or " b " in text
    assert site.count() == 0


def test_a_task_of_an_unknown_function_waits_and_the_others_go_on(site):
    site.call("""
        from django_ztask.decorators import task
        gone = task(name="nowhere.tasks.gone")(lambda: None)
        for n in range(3):
            gone.async_()
            mark.async_(f"m{n}")
    """)
    daemon = site.start("-c", "1")
    assert site.wait_marks(3) == ["m0", "m1", "m2"]
    assert "nowhere.tasks.gone is unknown here" in daemon.says("nowhere.tasks.gone")
    site.wait_count(3, status="SUCCEEDED")
    site.wait_count(3, status="QUEUED", function_name="nowhere.tasks.gone", failures=0)


def test_a_row_that_somebody_edited_is_failed_and_not_run(site):
    edited, renamed, fine = site.call(
        "show([mark.async_('original').id, mark.async_('renamed').id, mark.async_('fine').id])"
    )
    site.sql("""UPDATE django_ztask_task SET args = '["forged"]' WHERE uuid = ?""", edited)
    site.sql(
        "UPDATE django_ztask_task SET function_name = 'tests.project.shop.tasks.say' WHERE uuid = ?", renamed
    )
    site.start()
    site.wait_status(fine, "SUCCEEDED")
    for task_id in (edited, renamed):
        row = site.wait_status(task_id, "FAILED")
        assert "Mac" in row["last_exception"]
    assert site.marks() == ["fine"]


def test_a_task_edited_while_the_daemon_waits_for_it_is_not_run_either(site):
    site.start()
    task_id = site.call("show(mark.after(2, 'original').id)")
    site.sql("""UPDATE django_ztask_task SET args = '["forged"]' WHERE uuid = ?""", task_id)
    wait_for(lambda: site.task(task_id)["status"] == "FAILED", "FAILED")
    assert site.marks() == []
