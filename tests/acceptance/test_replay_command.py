"""ztaskd replay, beside real daemons: each failed task once, in the order of the calls, as it was asked for."""

import json
import time

import pytest

from tests.acceptance.daemon import MODULE, wait_for

pytestmark = [pytest.mark.acceptance, pytest.mark.both_databases]

FAIL_ALL = (
    "UPDATE django_ztask_task SET status = 'FAILED', failed = created, last_exception = ?, retry_count = 0"
)


def call_and_fail(site, code, exception="shop.NoStock: none"):
    """Tasks that FAILED, as far as anybody can tell: their calls' ids, in order."""
    ids = site.call(f"show([handle.id for handle in {code}])")
    site.sql(FAIL_ALL + " WHERE uuid >= ?", exception, ids[0])
    return ids


def replay(site, *args, code=0):
    found, text = site.command("replay", *args, program=MODULE)
    assert found == code, text
    assert "Traceback" not in text
    return text


def last_record(site):
    columns = "started, finished, by, pid, filter, matched, queued"
    [row] = site.sql(f"SELECT {columns} FROM django_ztask_replay ORDER BY id DESC LIMIT 1")
    found = dict(zip(columns.split(", "), row, strict=True))
    found["filter"] = json.loads(found["filter"]) if isinstance(found["filter"], str) else found["filter"]
    return found


@pytest.mark.parametrize(("up", "number"), [(True, 10_000), (False, 1000)], ids=["daemon up", "daemon down"])
def test_ten_thousand_start_once_each_in_the_order_of_their_calls(site, up, number):
    """Y1"""
    ids = call_and_fail(site, f"mark.map(range({number}))")
    if up:
        site.start("-c", "1")
    text = replay(site)
    assert f"{number:,} tasks queued again" in text
    assert ("no daemon runs" in text) is not up
    if not up:
        site.start("-c", "1")
    site.wait_count(number, 120, status="SUCCEEDED")
    assert site.marks() == [str(n) for n in range(number)]
    assert site.sql("SELECT DISTINCT replays, attempts FROM django_ztask_task") == [(1, 1)]
    assert site.sql("SELECT uuid FROM django_ztask_task ORDER BY created, uuid") == ids


def test_a_dry_run_says_what_would_run_and_changes_nothing(site):
    call_and_fail(site, "mark.map(range(12))")
    call_and_fail(site, "[add.async_(1)]", "ZeroDivisionError")
    before = site.sql("SELECT * FROM django_ztask_task ORDER BY uuid")
    text = replay(site, "--dry-run")
    assert "13 tasks would run again" in text
    lines = [line.split() for line in text.splitlines()[1:3]]
    assert [(line[0], line[1].split(".")[-1], line[-1]) for line in lines] == [
        ("12", "mark", "shop.NoStock"),
        ("1", "add", "ZeroDivisionError"),
    ]
    assert site.sql("SELECT * FROM django_ztask_task ORDER BY uuid") == before
    assert site.sql("SELECT count(*) FROM django_ztask_replay") == [0]


def test_only_what_is_selected_runs_and_the_record_says_who_did_what(site):
    marks = call_and_fail(site, "mark.using(queue='stock').map(range(5))")
    adds = call_and_fail(site, "[add.async_(1)]", "ZeroDivisionError: by 0")
    text = replay(site, "--function", "*.mark", "--queue", "stock", "--exception", "NoStock", "--limit", "3")
    assert "3 tasks queued again" in text
    queued = site.sql("SELECT uuid FROM django_ztask_task WHERE status = 'QUEUED' ORDER BY created")
    assert queued == marks[:3]
    found = last_record(site)
    assert found["filter"]["words"] == "--function '*.mark' --exception NoStock --queue stock --limit 3"
    assert (found["matched"], found["queued"]) == (3, 3)
    assert found["finished"] >= found["started"]
    assert "@" in found["by"]
    assert "nothing to replay" in replay(site, "--until", "2020-01-01 10:00")
    assert "1 task queued again" in replay(site, "--id", adds[0], "--since", "1h")
    replay(site, "--id", "nothing", code=6)
    assert site.count(status="QUEUED") == 4


def test_replayfailed_is_recorded_as_well(site):
    call_and_fail(site, "mark.map(range(3))")
    daemon = site.start("--replayfailed")
    site.wait_count(3, status="SUCCEEDED")
    found = last_record(site)
    assert (found["filter"], found["matched"], found["queued"]) == ({"words": "--replayfailed"}, 3, 3)
    assert (found["pid"], found["finished"]) == (daemon.pid, found["started"])


def test_a_rate_spreads_the_starts(site):
    call_and_fail(site, "mark.map(range(30))")
    site.start()
    began = time.monotonic()
    replay(site, "--rate", "15/s")
    assert time.monotonic() - began > 1.8
    starts = [float(line[2]) for line in sorted(site.ledger, key=lambda line: int(line[1]))]
    assert starts == sorted(starts)
    assert starts[-1] - starts[0] > 1.5


def test_live_traffic_goes_on_beside_a_paced_replay(site):
    call_and_fail(site, "mark.map(range(1000))")
    site.start("-c", "1")
    replaying = site.run_in_background([*MODULE, "replay", "--rate", "10/s"])
    wait_for(lambda: site.marks(), "the first start")
    site.call("[add.async_(1).result(20) for _ in range(20)]")
    assert site.count(status="FAILED") > 0, "it was not over yet"
    assert replaying.process.poll() is None


def test_two_replays_at_once_share_the_rows(site):
    call_and_fail(site, "mark.map(range(1500))")
    both = [site.run_in_background([*MODULE, "replay"]) for _ in range(2)]
    assert [each.wait() for each in both] == [0, 0], [each.text for each in both]
    site.start("-c", "1")
    site.wait_count(1500, status="SUCCEEDED")
    assert site.sql("SELECT DISTINCT replays FROM django_ztask_task") == [1]
    assert site.sql("SELECT sum(queued) FROM django_ztask_replay") == [1500]
    assert site.marks() == [str(n) for n in range(1500)]


def test_two_nodes_start_each_row_once(site):
    """Y3: two daemons on one journal."""
    call_and_fail(site, "mark.map(range(600))")
    urls = [f"ipc://{site.folder}/run/{name}" for name in "ab"]
    daemons = [
        site.start(SHOP_SETTINGS=json.dumps({**site.settings, "ZTASKD_NODE": name, "ZTASKD_URL": url}))
        for name, url in zip("ab", urls, strict=True)
    ]
    site.settings["ZTASKD_URL"] = urls
    replay(site)
    site.wait_count(600, status="SUCCEEDED")
    assert sorted(site.marks(), key=int) == [str(n) for n in range(600)]
    assert site.sql("SELECT DISTINCT replays, attempts FROM django_ztask_task") == [(1, 1)]
    assert [daemon.stop() for daemon in daemons] == [0, 0]


def test_a_poison_task_is_back_in_quarantine_after_one_attempt_and_the_others_go_on(new_site):
    """Y4"""
    site = new_site(ZTASKD_MAX_CRASHES=2)
    site.start("--worker-pool-size", "1")
    poison = site.call("show(exits.using(pool='process').async_().id)")
    assert site.wait_status(poison, "FAILED")["attempts"] == 2
    others = call_and_fail(site, "mark.map(range(20))")
    assert "21 tasks queued again" in replay(site)
    for task_id in others:
        site.wait_status(task_id, "SUCCEEDED")
    wait_for(lambda: site.task(poison)["attempts"] == 3, "the one attempt")
    row = site.wait_status(poison, "FAILED")
    assert (row["crashes"], row["replays"]) == (3, 1)


def test_what_must_not_start_again_is_left_out_and_counted(site):
    once, legacy, never = site.call(
        "show([add.using(at_most_once=True).async_(1).id, add.async_(2).id, add.using(at_most_once=True).async_(3).id])"
    )
    site.sql("UPDATE django_ztask_task SET status = 'FAILED', failed = created")
    site.sql("UPDATE django_ztask_task SET started = created WHERE uuid = ?", once)
    site.sql("UPDATE django_ztask_task SET codec = 'legacy' WHERE uuid = ?", legacy)
    for dry in (["--dry-run"], []):
        text = replay(site, *dry)
        assert "1 task " in text
        assert "1 at_most_once task that had started" in text
        assert "1 task that django-ztask left" in text
    assert site.sql("SELECT uuid FROM django_ztask_task WHERE status = 'QUEUED'") == [never]
