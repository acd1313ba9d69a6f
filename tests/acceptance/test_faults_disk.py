"""A disk that is full, read-only, slow, or answers with errors: no id without its row, no task charged."""

import itertools
import re
import shutil
import sys
import time

import pytest

from tests.acceptance.daemon import PATIENCE, PRELUDE, wait_for
from tests.acceptance.faults import (
    Held,
    degraded_lines,
    fill,
    injected,
    longest_gap,
    need_strace,
    remount,
    small_disk,
)

pytestmark = [pytest.mark.acceptance, pytest.mark.faults]

# Calls until one raises. Shows the ids of those that did not, and the error.
UNTIL_REFUSED = """
from django.db import Error
accepted, error = [], ""
while not error:
    try:
        accepted.append(mark.async_(f"late-{len(accepted)}").id)
    except Error as refusal:
        error = str(refusal)
show([accepted, error])
"""

RUN = "exec(sys.stdin.read())"

# Callers, one after another, each with one sync less of its own before its three calls.
CHILDREN = """
for own in range(7, -1, -1):
    child = os.fork()
    if not child:
        spare = os.open(os.environ["SHOWN"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        for _ in range(own):
            os.fdatasync(spare)
        for n in range(3):
            os.write(spare, (mark.async_(n).id + "\\n").encode())
        os._exit(0)
    print(os.waitpid(child, 0)[1] & 127)
"""


@pytest.fixture
def disk(site):
    """A small one of the journal's own."""
    with small_disk(site.folder / "disk") as folder:
        shutil.copyfile(site.database, folder / "db.sqlite3")
        site.database = folder / "db.sqlite3"
        site.settings["ZTASKD_HEADROOM"] = 0  # (by default the daemon wants more than all of it free)
        yield folder
        site.close()


def test_when_the_disk_is_full_calls_are_refused_and_outcomes_wait_until_there_is_room(site, disk):
    daemon = site.start()
    held = Held(site, 5)
    filler = fill(disk)
    accepted, error = site.call(UNTIL_REFUSED)
    assert "full" in error
    held.let_go()
    assert "full" in daemon.says("degraded: ")
    filler.unlink()
    held.unharmed(*accepted)
    assert site.count() == len(held.ids + accepted)  # what was refused has no row
    daemon.says("the journal works again")
    # (A disk that is about to be full has room for little: it may have worked in between.)
    said = re.findall("degraded: the journal|the journal works again", daemon.log)
    assert said[-1] == "the journal works again"
    assert all("degraded" in before for before, after in itertools.pairwise(said) if "again" in after), said
    assert 1 <= len(degraded_lines(daemon)) <= 6
    assert daemon.stop() == 0


def test_on_a_read_only_disk_the_daemon_says_why_it_does_not_start_and_starts_when_it_is_writable(site, disk):
    site.call("mark.async_('waits')")
    remount(disk, "ro")
    code, text = site.command("--noreload")
    assert code == 5
    assert f"the database {site.database} cannot be used" in text
    assert "Traceback" not in text
    remount(disk, "rw")
    site.start()
    site.wait_count(1, status="SUCCEEDED", attempts=1, failures=0)


@pytest.mark.parametrize(
    ("calls", "error"),
    [("fsync,fdatasync", "EIO"), ("pwrite64", "EIO"), ("pwrite64", "EROFS")],
    ids=lambda value: value.partition(",")[0],
)
def test_while_system_calls_fail_outcomes_are_kept_and_then_written(site, calls, error):
    need_strace()
    daemon = site.start()
    held = Held(site, 5)
    with injected(daemon, calls, f"error={error}"):
        held.let_go()
        daemon.says("degraded: ")
        late = site.call("show([mark.async_(f'late-{n}').id for n in range(3)])")
    held.unharmed(*late)
    daemon.says("the journal works again")
    assert site.call("show(add.async_(1, 1).result(20))") == 2
    assert daemon.stop() == 0


def test_a_disk_that_takes_its_time_stops_no_running_task(site, figure):
    need_strace()
    daemon = site.start()
    site.call("ticks.async_(150, 0.02)")
    site.wait_count(1, status="RUNNING")
    with injected(daemon, "fsync,fdatasync", "delay_exit=500000"):
        began = time.monotonic()
        site.call("show([mark.async_(f'm{n}').result(20) for n in range(20)])")
        seconds = time.monotonic() - began
        wait_for(lambda: site.count(status="RUNNING") == 0, "the ticking task")
    gap = longest_gap(site)
    figure(
        f"each sync of the daemon takes 0.5 s: longest pause of a ticking task {gap * 1000:.0f} ms, 20 calls {seconds:.1f} s"
    )
    assert gap < 1
    assert seconds < PATIENCE
    site.wait_count(21, status="SUCCEEDED", attempts=1, failures=0)


def test_a_caller_killed_at_any_of_its_syncs_has_shown_no_id_without_a_row(site, figure):
    """All are killed at their 8th sync; what each has synced before it calls decides which of a call's that is."""
    need_strace()
    shown = site.folder / "shown"
    inject = "inject=fsync,fdatasync:signal=KILL:when=8"
    strace = [
        "strace",
        "-qq",
        "-f",
        "-o",
        str(site.folder / "strace"),
        "-e",
        "trace=fsync,fdatasync",
        "-e",
        inject,
    ]
    program = site.run_in_background(
        [*strace, sys.executable, "-c", PRELUDE.replace(RUN, CHILDREN)], SHOWN=str(shown)
    )
    assert program.wait(60) == 0, program.text
    ends = program.text.split()
    assert ends.count("9") >= 3, ends  # killed
    assert ends[-1] == "0"  # the last ended by itself: no sync of a call is left out
    ids = shown.read_text().split()
    assert len(ids) >= 3
    rows = site.sql("SELECT uuid FROM django_ztask_task")
    assert set(ids) <= set(rows)
    figure(f"callers killed at each of their {ends.count('9')} syncs: {len(ids)} ids shown, without a row 0")
