"""What only PostgreSQL can do to a daemon: cut connections, restart, be slow in many sessions at once."""

import json

import pytest

from tests import postgres
from tests.acceptance.daemon import wait_for
from tests.acceptance.faults import Held
from tests.acceptance.postgres_site import PostgresSite

# (`vendor` of conftest.py)
pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.faults,
    pytest.mark.parametrize("vendor", ["postgresql"], indirect=True),
]


def test_tasks_wait_for_the_database_side_by_side(site):
    assert isinstance(site, PostgresSite)
    site.start("-c", "10")
    seconds = site.call("""
        began = time.time()
        [handle.result(20) for handle in pg_sleep.map([1.0] * 10)]
        show(time.time() - began)
    """)
    assert seconds < 6  # one after another it would be 10


def test_when_all_connections_are_cut_the_daemon_says_so_and_goes_on(site):
    daemon = site.start()
    site.call("add.async_(1).result(20); order.async_(1).result(20)")
    held = Held(site)
    assert site.made.disconnect_all() >= 1
    held.let_go()
    held.unharmed(*site.call("show([handle.id for handle in order.map(range(2, 7))])"))
    assert "degraded" in daemon.says("degraded")
    assert daemon.log.count("degraded") < 5
    daemon.says("the journal works again")
    assert daemon.stop() == 0


def test_connections_cut_again_and_again_lose_nothing(site):
    daemon = site.start("-c", "20")
    caller = site.spawn("""
        from django.db import Error, connection
        accepted = []
        for n in range(300):
            try:
                accepted.append(mark.async_(f"m{n}").id)
            except Error:
                connection.close()
            time.sleep(0.005)
        show(accepted)
    """)
    for cut in range(1, 6):
        wait_for(lambda cut=cut: len(site.marks()) >= 30 * cut, f"{30 * cut} marks")
        site.made.disconnect_all()
    assert caller.wait(60) == 0, caller.text
    accepted = json.loads(caller.text.splitlines()[-1])
    for task_id in accepted:
        site.wait_status(task_id, "SUCCEEDED")
    assert site.sql("SELECT sum(failures), sum(crashes) FROM django_ztask_task") == [(0, 0)]
    assert daemon.stop() == 0


def test_while_the_database_is_away_tasks_go_on_and_nothing_is_charged(site):
    daemon = site.start("-c", "10")
    site.call("order.async_(1).result(20)")
    held = Held(site, 5)
    admin = site.made.server.admin
    admin.sql(f'ALTER DATABASE "{site.made.name}" ALLOW_CONNECTIONS false')
    site.made.disconnect_all()
    held.let_go()
    daemon.says("degraded")
    admin.sql(f'ALTER DATABASE "{site.made.name}" ALLOW_CONNECTIONS true')
    held.unharmed()
    daemon.says("the journal works again")
    site.call("order.async_(2).result(20)")
    assert daemon.stop() == 0


def test_a_row_that_somebody_has_locked_does_not_stall_the_others(site):
    locked, *ids = site.call("show([handle.id for handle in add.map(range(21))])")
    with site.made.connect() as other, other.transaction():
        other.execute("SELECT * FROM django_ztask_task WHERE uuid = %s FOR UPDATE", [locked])
        site.start("-c", "1")
        for task_id in ids:
            site.wait_status(task_id, "SUCCEEDED")
        assert site.task(locked)["status"] == "QUEUED"
    site.wait_status(locked, "SUCCEEDED")


def test_a_second_daemon_of_the_same_name_on_this_host_is_refused(site):
    first = site.start()
    code, text = site.command("--noreload")
    assert code == 3
    assert f"pid {first.pid}" in text
    assert site.call("show(add.async_(2, 3).result(20))") == 5


def test_a_database_that_is_not_there_or_not_migrated_is_refused(new_site):
    site = new_site()
    site.settings["DATABASES"] = {"default": {**site.made.settings, "NAME": "nosuch"}}
    code, text = site.command("--noreload")
    assert code == 5
    assert "nosuch" in text
    empty = postgres.server().create()
    site.settings["DATABASES"] = {"default": empty.settings}
    code, text = site.command("--noreload")
    assert code == 5
    assert "manage.py migrate" in text
    empty.drop()


def test_relaxed_commits_of_the_project_are_said_at_the_start(site):
    site.made.sql(f'ALTER DATABASE "{site.made.name}" SET synchronous_commit = off')
    daemon = site.start()
    daemon.says("synchronous_commit is off")
