"""PostgreSQL breaks off, or gives up, while a claim or an outcome is being written: once is enough, all the same."""

import json

import pytest

from tests.acceptance.daemon import wait_for
from tests.acceptance.faults import Held, ServerLog, settled
from tests.acceptance.proxy import Proxy

# (`vendor` of conftest.py)
pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.faults,
    pytest.mark.parametrize("vendor", ["postgresql"], indirect=True),
]

WAITING = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


def test_an_outcome_whose_row_is_locked_and_whose_session_is_ended_is_written_all_the_same(site):
    daemon = site.start()
    held, server = Held(site), ServerLog(site)
    with site.made.connect() as other, other.transaction():
        other.execute("SELECT * FROM django_ztask_task FOR UPDATE")
        held.let_go()
        backend = wait_for(lambda: site.sql(WAITING), "the outcome's statement")[0]
        site.sql("SELECT pg_terminate_backend(%s)", backend)
        assert "terminating connection" in daemon.says("degraded: ")
        server.says("lock timeout")  # the next session waits no longer than this without a word
    held.unharmed()
    daemon.says("the journal works again")
    assert "taken from this node" not in daemon.log


@pytest.mark.parametrize("committed", [True, False], ids=["after", "before"])
@pytest.mark.parametrize(
    "statement", [b"SET status = 'SUCCEEDED'", b"SET status = 'RUNNING'"], ids=["finish", "claim"]
)
def test_a_connection_cut_around_a_commit_repeats_and_loses_nothing(
    site, tmp_path_factory, statement, committed
):
    """After: the commit is done, and all that the daemon sees of it is an error."""
    proxy = Proxy(tmp_path_factory.mktemp("p"), site.made.server.folder)
    through = {**site.settings, "DATABASES": {"default": {**site.made.settings, "HOST": str(proxy.folder)}}}
    daemon = site.start(SHOP_SETTINGS=json.dumps(through))
    proxy.arm(statement, committed)
    task_id = site.call("show(mark.async_('once', 0.2).id)")
    assert proxy.cut.wait(30)
    row = site.wait_status(task_id, "SUCCEEDED")
    # A claim that nobody heard of is given back, and claimed again.
    claims = 2 if committed and b"RUNNING" in statement else 1
    assert settled(row) == (claims, 0, 0, 0)
    daemon.says("degraded: ")
    daemon.says("the journal works again")
    assert site.marks() == ["once"]
    assert "taken from this node" not in daemon.log
    assert daemon.stop() == 0
    proxy.close()


def test_a_retry_whose_commit_was_not_heard_of_costs_one_failure_only(site, tmp_path_factory):
    proxy = Proxy(tmp_path_factory.mktemp("p"), site.made.server.folder)
    through = {**site.settings, "DATABASES": {"default": {**site.made.settings, "HOST": str(proxy.folder)}}}
    daemon = site.start(SHOP_SETTINGS=json.dumps(through))
    proxy.arm(b"coalesce(new.pool, task.pool)", True)
    task_id = site.call("show(fail.async_().id)")  # retried once
    assert proxy.cut.wait(30)
    row = site.wait_status(task_id, "FAILED")
    assert settled(row) == (2, 2, 0, 0)
    assert site.sql("SELECT attempt FROM django_ztask_attempt ORDER BY attempt") == [1, 2]
    assert "taken from this node" not in daemon.log
    proxy.close()


def test_a_statement_timeout_of_the_role_is_no_reason_to_give_an_outcome_up(site):
    site.made.sql(f'ALTER ROLE postgres IN DATABASE "{site.made.name}" SET statement_timeout = 1000')
    daemon = site.start()
    held = Held(site)
    with site.made.connect() as other, other.transaction():
        other.execute("SELECT * FROM django_ztask_task FOR UPDATE")
        held.let_go()
        assert "statement timeout" in daemon.says("degraded: ")
    held.unharmed()
