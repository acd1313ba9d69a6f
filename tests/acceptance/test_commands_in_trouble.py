"""Commands when the database is locked or away, a reader is gone, or there is no project: an exit code and a sentence."""

import contextlib
import sqlite3
import subprocess

import pytest

from tests.acceptance.daemon import MANAGE, MODULE, wait_for
from tests.acceptance.test_replay_command import call_and_fail

pytestmark = [pytest.mark.acceptance, pytest.mark.faults]

WRITING = [["replay"], ["purge", "--all", "--yes"]]
READING = [["list"], ["show", "0"], ["explain", "0"], ["replay", "--dry-run"]]


def impatient(new_site):
    site = new_site()
    site.settings["DATABASES"] = {
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(site.database),
            "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 0.3},
        }
    }
    return site


def test_a_locked_database_is_exit_5_for_who_writes_and_nothing_for_who_reads(new_site):
    site = impatient(new_site)
    [task_id] = call_and_fail(site, "[add.async_(1)]")
    with contextlib.closing(sqlite3.connect(site.database, isolation_level=None)) as holder:
        holder.execute("PRAGMA journal_mode = WAL")
        holder.execute("BEGIN IMMEDIATE")
        for arguments in WRITING:
            code, text = site.command(*arguments, program=MODULE)
            assert code == 5, text
            assert "locked" in text
            assert "Traceback" not in text
        for arguments in READING:
            assert (
                site.command(*[task_id if word == "0" else word for word in arguments], program=MODULE)[0]
                == 0
            )
        holder.execute("ROLLBACK")
    assert site.task(task_id)["status"] == "FAILED"


@pytest.mark.both_databases
def test_a_journal_that_is_away_or_not_migrated_is_exit_5(site):
    site.sql("DROP TABLE django_ztask_replay")
    for arguments in (*WRITING, *READING):
        code, text = site.command(*arguments, program=MODULE)
        assert (code, "manage.py migrate" in text) == (5, True), text


@pytest.mark.both_databases
def test_a_replay_whose_database_goes_away_says_how_to_go_on(site):
    call_and_fail(site, "mark.map(range(300))")
    replaying = site.run_in_background([*MODULE, "replay", "--rate", "20/s"])
    wait_for(lambda: site.count(status="QUEUED"), "the first of them")
    site.sql("ALTER TABLE django_ztask_task RENAME TO elsewhere")
    assert replaying.wait() == 5
    assert "To go on:" in replaying.text
    assert "Traceback" not in replaying.text
    site.sql("ALTER TABLE elsewhere RENAME TO django_ztask_task")
    code, text = site.command("replay", program=MODULE)
    assert code == 0, text
    assert "300 tasks queued again" in text


def test_manage_py_takes_the_same_commands(site):
    call_and_fail(site, "mark.map(range(3))")
    code, text = site.command("replay", "--limit", "1", program=MANAGE)
    assert code == 0, text
    assert "1 task queued again" in text
    code, text = site.command("list", "--status", "queued", program=MANAGE)
    assert (code, "QUEUED" in text) == (0, True), text


def test_a_reader_that_has_seen_enough_is_no_error(site):
    site.call("mark.map(range(3000))")
    command = [*MODULE, "list", "--limit", "3000"]
    with subprocess.Popen(
        command, env=site.env(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline().startswith("ID")
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0
