"""Old rows go by themselves, and by hand; a disk that fills up pauses the node before it is full."""

import os
import shutil
import subprocess

import pytest

from tests.acceptance.daemon import MODULE, wait_for

pytestmark = [pytest.mark.acceptance, pytest.mark.faults]


@pytest.mark.both_databases
def test_the_daemon_deletes_what_succeeded_long_ago_and_says_so(new_site):
    site = new_site(ZTASKD_KEEP=1)
    daemon = site.start()
    failed = site.call("""
        failed = fail.using(retry_count=0).async_().id
        add.map(range(250))[-1].result(20)
        show(failed)
    """)
    site.wait_count(1)
    assert site.task(failed)["status"] == "FAILED"
    daemon.says("were deleted")
    assert daemon.stop() == 0


@pytest.mark.both_databases
def test_by_hand_with_and_without_a_daemon(site):
    daemon = site.start()
    site.call("[handle.result(20) for handle in add.map(range(450))]")
    code, text = site.command("prune", "--older-than", "1h")
    assert (code, text.split()[0]) == (0, "0")
    code, text = site.command("prune", "--older-than", "0", "--dry-run")
    assert code == 0, text
    assert "450 task(s)" in text
    assert "nothing was deleted" in text
    assert site.count() == 450
    assert daemon.stop() == 0
    code, text = site.command("prune", "--older-than", "0s")
    assert code == 0, text
    assert "450 task(s)" in text
    assert site.count() == 0


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--older-than", "soon"], 2, "write 90 (seconds), 30m, 12h, 1d or 2w"),
        (["--older-than", "-1"], 2, "age"),
        (["--older-than", "9999999w"], 2, "is no age"),
        ([], 2, "--older-than"),
        (["--older-than", "1d", "--settings", "nosuch"], 2, "nosuch"),
    ],
)
def test_wrong_usage_is_exit_2(site, arguments, code, says):
    found, text = site.command("prune", *arguments, program=MODULE)
    assert found == code
    assert says in text


def test_without_its_tables_it_is_exit_5(site):
    site.sql("DROP TABLE django_ztask_task")
    code, text = site.command("prune", "--older-than", "1d")
    assert code == 5
    assert "manage.py migrate" in text


@pytest.fixture
def small_disk(tmp_path_factory):
    """A file system of 8 MiB."""
    folder = tmp_path_factory.mktemp("disk")
    mounted = (
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)], capture_output=True, check=False
        )
        if os.geteuid() == 0
        else None
    )
    if mounted is None or mounted.returncode:
        pytest.skip("a small disk needs a mount, which is not permitted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_too_little_room_on_the_disk_pauses_claims_and_room_resumes_them(new_site, small_disk):
    site = new_site(ZTASKD_HEADROOM=2 * 2**20)
    site.database = shutil.copy(site.database, small_disk)
    daemon = site.start()
    running = site.call(f"show(gated.async_('running', {str(site.gate)!r}).id)")
    site.wait_status(running, "RUNNING")
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(6 * 2**20))
    daemon.says("paused: ")
    waiting = site.call("show(mark.async_('waiting').id)")
    site.gate.touch()
    assert site.wait_status(running, "SUCCEEDED")["attempts"] == 1, "what runs is finished and written"
    assert site.task(waiting)["status"] == "QUEUED"
    assert daemon.log.count("paused: ") == 1
    ballast.unlink()
    site.wait_status(waiting, "SUCCEEDED")
    daemon.says("going on: ")
    assert wait_for(lambda: site.marks() == ["running", "waiting"], "both marks")
    assert daemon.stop() == 0


def test_rows_that_somebody_refers_to_are_kept_and_it_is_said_without_alarm(new_site):
    site = new_site(ZTASKD_KEEP=0.5)
    site.sql(
        "CREATE TABLE ours (task VARCHAR(36) REFERENCES django_ztask_task (uuid) DEFERRABLE INITIALLY DEFERRED)"
    )
    task_id = site.call("show(add.async_(1).id)")
    site.sql("INSERT INTO ours VALUES (?)", task_id)
    daemon = site.start()
    daemon.says("old rows could not be deleted")
    assert site.task(task_id)["status"] == "SUCCEEDED"
    assert "degraded" not in daemon.log
    assert daemon.stop() == 0
