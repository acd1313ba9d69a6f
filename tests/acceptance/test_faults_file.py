"""The journal's file is deleted, replaced or damaged under a running daemon: it is said, and nothing is charged."""

import contextlib
import os
import shutil
import sqlite3

import pytest

from tests.acceptance.daemon import wait_for
from tests.acceptance.faults import Held, settled

pytestmark = [pytest.mark.acceptance, pytest.mark.faults]


def back_up(site):
    """A whole copy, as a careful operator makes it."""
    copy = site.folder / "backup"
    with (
        contextlib.closing(sqlite3.connect(site.database)) as journal,
        contextlib.closing(sqlite3.connect(copy)) as target,
    ):
        journal.backup(target)
    return copy


def remove(database):
    for name in database.parent.glob(f"{database.name}*"):
        if name.is_file():
            name.unlink()


def test_a_deleted_file_is_said_not_made_anew_and_used_again_when_it_is_back(site):
    daemon = site.start()
    held = Held(site, 3)
    copy = back_up(site)
    remove(site.database)
    held.let_go()
    daemon.says(f"the file {site.database} is gone")
    assert not site.database.exists()
    os.replace(copy, site.database)
    daemon.says("the journal works again")
    held.unharmed()
    assert site.call("show(add.async_(1, 1).result(20))") == 2
    assert daemon.stop() == 0


def test_a_file_that_was_replaced_is_noticed_and_the_new_one_is_used(site):
    daemon = site.start()
    held = Held(site, 3)
    copy = back_up(site)
    remove(site.database)
    os.replace(copy, site.database)
    daemon.says(f"the file {site.database} was replaced")
    daemon.says("the journal works again")
    held.let_go()
    held.unharmed()
    assert site.call("show(add.async_(1, 1).result(20))") == 2
    assert daemon.stop() == 0


def test_a_damaged_page_is_said_and_costs_no_attempt(site):
    daemon = site.start()
    held = Held(site)
    with contextlib.closing(sqlite3.connect(site.database, isolation_level=None)) as journal:
        journal.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        root = journal.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'django_ztask_task'"
        ).fetchone()[0]
        size = journal.execute("PRAGMA page_size").fetchone()[0]
        good = shutil.copyfile(site.database, site.folder / "good")
        with site.database.open("r+b", buffering=0) as file:
            file.seek((root - 1) * size)
            file.write(b"\xff" * size)
        journal.execute("INSERT INTO shop_order (number) VALUES (1)")  # the others read it all anew
        held.gate.touch()
        assert "malformed" in daemon.says("degraded: ")
        daemon.kill9()
        code, text = site.command("--noreload")
        assert code == 5
        assert "malformed" in text
        assert "Traceback" not in text
        with site.database.open("r+b", buffering=0) as file, good.open("rb") as source:
            for each in (file, source):
                each.seek((root - 1) * size)
            file.write(source.read(size))
    site.start().says("recovered 1 task")
    assert settled(site.wait_status(held.ids[0], "SUCCEEDED")) == (2, 0, 0, 0)


def test_a_node_row_that_was_deleted_is_made_again(new_site):
    site = new_site(ZTASKD_LEASE=1)
    daemon = site.start()
    held = Held(site)
    site.sql("DELETE FROM django_ztask_node")
    daemon.says("was taken for dead")
    wait_for(lambda: site.sql("SELECT count(*) FROM django_ztask_node") == [1], "its row")
    held.let_go()
    held.unharmed()
