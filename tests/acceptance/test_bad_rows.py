"""Rows that somebody wrote by hand: each is FAILED or run, none stops the node."""

import pytest

pytestmark = pytest.mark.acceptance


def test_a_row_that_cannot_be_read_is_failed_and_the_others_run(site):
    bad, good = site.call("show([add.async_(1).id, add.async_(2).id])")
    site.sql("UPDATE django_ztask_task SET args = CAST(x'ff' AS TEXT) WHERE uuid = ?", bad)
    daemon = site.start()
    site.wait_status(good, "SUCCEEDED")
    daemon.says("the journal refused a row")
    assert bad in daemon.log
    site.wait_count(1, status="FAILED")
    assert "cannot be read" in site.sql("SELECT last_exception FROM django_ztask_task WHERE uuid = ?", bad)[0]
    assert site.call("show(add.async_(3, 4).result(20))") == 7
    assert "degraded" not in daemon.log
    assert daemon.stop() == 0


def test_a_policy_that_is_none_does_not_stop_the_node(site):
    odd = site.call("show(fail.async_().id)")
    site.sql("UPDATE django_ztask_task SET meta = '[]', retry_count = 0 WHERE uuid = ?", odd)
    daemon = site.start()
    site.wait_status(odd, "FAILED")
    assert site.call("show(add.async_(3, 4).result(20))") == 7
    assert daemon.stop() == 0


def test_a_column_of_another_type_stops_nobody(site):
    odd, good = site.call("show([add.async_(1).id, add.async_(2).id])")
    site.sql("UPDATE django_ztask_task SET retry_count = 'many' WHERE uuid = ?", odd)
    daemon = site.start()
    site.wait_status(good, "SUCCEEDED")
    site.wait_status(odd, "SUCCEEDED")
    assert daemon.stop() == 0
