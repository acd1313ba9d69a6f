"""ztaskd explain, of real tasks beside real daemons."""

import json
import shutil
import signal

import pytest

from tests.acceptance.daemon import MODULE, wait_for

pytestmark = [pytest.mark.acceptance, pytest.mark.both_databases]


def explained(site, task_id, **env):
    code, text = site.command("explain", task_id, "--json", program=MODULE, env=site.env(**env))
    assert code == 0, text
    return {finding["code"]: finding["what"] for finding in json.loads(text)["findings"]}


def test_what_waits_without_a_daemon_and_then_for_a_slot(new_site):
    site = new_site(ZTASKD_LEASE=3600)  # (it does not end while we look)
    first = site.call(f"show([gated.async_(n, {str(site.gate)!r}).id for n in range(3)])")[0]
    assert list(explained(site, first)) == ["no-node"]
    daemon = site.start("-c", "1")
    site.wait_status(first, "RUNNING")
    last = site.sql("SELECT uuid FROM django_ztask_task WHERE status = 'QUEUED' ORDER BY created")[-1]
    what = explained(site, last)
    assert list(what) == ["slot"]
    assert "1 run now" in what["slot"]
    what = explained(site, first)
    assert list(what) == ["running"]
    assert f"pid {daemon.pid}" in what["running"]
    daemon.kill9()
    assert list(explained(site, first)) == ["node-gone"], "its lock is free, whatever its lease says"
    site.sql("UPDATE django_ztask_node SET host = host || '-2'")
    assert list(explained(site, first)) == ["running"], "another host's node may not be reached from here"
    site.sql("UPDATE django_ztask_node SET lease = 1")
    assert list(explained(site, first)) == ["node-gone"]
    assert next(iter(explained(site, last))) == "no-node"


def test_what_a_daemon_runs_while_it_stops_is_not_said_to_be_gone(site):
    first = site.call(f"show(gated.async_(1, {str(site.gate)!r}).id)")
    daemon = site.start("--grace", "60")
    site.wait_status(first, "RUNNING")
    daemon.signal(signal.SIGTERM)
    daemon.says("stopping: 1 task(s) run")
    what = explained(site, first)
    assert list(what) == ["node-silent"]
    assert "finishes what it runs" in what["node-silent"]
    site.gate.touch()
    assert daemon.wait() == 0
    assert site.task(first)["status"] == "SUCCEEDED"


def test_what_is_due_later_and_what_is_tried_again(site):
    site.start()
    later, again = site.call("show([mark.after(3600, 'x').id, fail.using(retry_after=600).async_('no').id])")
    wait_for(lambda: site.task(again)["failures"] == 1, "the first failure")
    site.wait_status(again, "QUEUED")
    assert list(explained(site, later)) == ["due"]
    what = explained(site, again)
    assert list(what) == ["retry"]
    assert "ValueError: no" in what["retry"]


def test_why_it_has_failed(site):
    site.start("--worker-pool-size", "1")
    plain, poison, gone, edited = site.call("""
        from django_ztask.decorators import task
        gone = task(name="nowhere.tasks.gone")(lambda: None)
        show([fail.using(retry_count=0).async_('no').id, exits.using(pool='process').async_().id,
              gone.after(1e6).id, add.after(1e6, 1).id])
    """)
    assert list(explained(site, gone)) == ["unknown-function", "due"]
    site.sql("UPDATE django_ztask_task SET replays = 1, next_attempt = 1 WHERE uuid = ?", gone)
    site.sql("UPDATE django_ztask_task SET args = '[2]' WHERE uuid = ?", edited)
    assert "mac" in explained(site, edited)
    site.sql("UPDATE django_ztask_task SET next_attempt = 1 WHERE uuid = ?", edited)
    for task_id, code in (
        (plain, "exception"),
        (gone, "unknown-function"),
        (edited, "mac"),
        (poison, "quarantined"),
    ):
        site.wait_status(task_id, "FAILED")
        assert next(iter(explained(site, task_id))) == code


def test_which_key_has_signed_it(site):
    task_id = site.call("show(mark.after(3600, 'x').id)", SHOP_SECRET_KEY="the old one")
    assert list(explained(site, task_id)) == ["mac", "no-node", "due"]
    settings = json.dumps({**site.settings, "SECRET_KEY_FALLBACKS": ["another", "the old one"]})
    what = explained(site, task_id, SHOP_SETTINGS=settings)
    assert "SECRET_KEY_FALLBACKS[1]" in what["old-key"]


def test_a_daemon_with_another_key_and_one_that_is_paused(site, new_site, vendor):
    daemon = site.start(SHOP_SECRET_KEY="another")
    task_id = site.call("show(mark.after(3600, 'x').id)")
    assert "node-key" in explained(site, task_id)
    assert daemon.stop() == 0
    if vendor == "sqlite":
        free = shutil.disk_usage(site.folder).free
        site.settings["ZTASKD_HEADROOM"] = 2 * free
        daemon = site.start()
        daemon.says("paused: ")
        site.sql("UPDATE django_ztask_task SET next_attempt = 1")
        assert "disk" in explained(site, task_id)


def test_missing_migrations_are_named_before_anything_else(site):
    task_id = site.call("show(mark.after(3600, 'x').id)")
    site.sql("DELETE FROM django_migrations WHERE app = 'django_ztask' AND name LIKE '0005%'")
    assert "0005" in explained(site, task_id)["migrations"]
    site.sql("DROP TABLE django_ztask_replay")
    code, text = site.command("explain", task_id, program=MODULE)
    assert (code, "manage.py migrate" in text) == (5, True), text
