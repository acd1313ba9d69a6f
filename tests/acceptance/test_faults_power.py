"""A power cut: of all that was written, only what was synced is left (SQLite; powercut.c keeps a copy of that)."""

import contextlib
import fcntl
import os
import shutil
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from tests.acceptance.daemon import wait_for

pytestmark = [pytest.mark.acceptance, pytest.mark.faults]

# Each id is written down when its call has returned.
CALLER = """
from django.db import connection
accepted = os.open(os.environ["ACCEPTED"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
if os.environ.get("RELAXED"):
    connection.ensure_connection()
    connection.connection.execute("PRAGMA synchronous = OFF")
for n in range(int(os.environ["CALLS"])):
    os.write(accepted, (mark.async_(n).id + "\\n").encode())
os._exit(0)
"""


class PowerSupply:
    """One that can fail."""

    def __init__(self, site):
        self.site = site
        self.accepted_path = site.folder / "accepted"
        self.shadow = site.folder / "shadow"
        self.shadow.mkdir()
        library = site.folder / "powercut.so"
        source = Path(__file__).with_name("powercut.c")
        cc = shutil.which("cc")
        if cc is None:
            pytest.skip("there is no C compiler")
        subprocess.run([cc, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True, timeout=60)
        shutil.copyfile(site.database, self.shadow / site.database.name)
        self.env = {
            "LD_PRELOAD": str(library),
            "WATCHED": str(site.database),
            "SHADOW": str(self.shadow),
            "ACCEPTED": str(self.accepted_path),
        }

    @property
    def accepted(self):
        return set(self.accepted_path.read_text().split()) if self.accepted_path.exists() else set()

    def left(self, status="%"):
        """The ids in that state after a power cut now."""
        after = self.site.folder / "after"
        shutil.rmtree(after, ignore_errors=True)
        folder = os.open(self.shadow, os.O_RDONLY)
        fcntl.flock(folder, fcntl.LOCK_EX)
        shutil.copytree(self.shadow, after)
        os.close(folder)
        with contextlib.closing(sqlite3.connect(after / self.site.database.name)) as journal:
            assert journal.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            query = "SELECT uuid FROM django_ztask_task WHERE status LIKE ?"
            return {row[0] for row in journal.execute(query, [status])}


def test_a_power_cut_leaves_every_accepted_task_and_all_but_the_last_seconds_outcomes(new_site, figure):
    site = new_site(ZTASKD_LEASE=600)  # no renewal in this test: its commit would be synced, too
    power = PowerSupply(site)
    daemon = site.start(**power.env)
    assert site.spawn(CALLER, CALLS="100", **power.env).wait() == 0
    assert len(power.accepted) == 100
    assert power.accepted <= power.left()
    site.wait_count(100, status="SUCCEEDED")
    ended = time.monotonic()
    wait_for(lambda: power.left("SUCCEEDED") == power.accepted, "outcomes that are synced", 8)
    seconds = time.monotonic() - ended
    endless = site.spawn(CALLER, CALLS="1000000", **power.env)
    wait_for(lambda: len(power.accepted) >= 200, "calls under way")
    daemon.kill9()
    endless.kill9()
    assert power.accepted <= power.left()
    figure(
        f"power cut: of {len(power.accepted)} accepted tasks 0 are missing; an outcome is safe after "
        f"{seconds:.1f} s at most"
    )
    # And this test can fail: a caller that does not sync loses what it was told is accepted.
    before = len(power.accepted)
    assert site.spawn(CALLER, CALLS="5", RELAXED="1", **power.env).wait() == 0
    assert len(power.accepted - power.left()) == len(power.accepted) - before == 5
