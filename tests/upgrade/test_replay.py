"""The end of an upgrade: ztaskd runs what the old table held."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import subprocess
import time

import pytest

from tests.upgrade import pickles
from tests.upgrade.oldsite import MANAGE, ROOT, SqliteSite
from tests.upgrade.test_migrate import row

pytestmark = pytest.mark.acceptance

SECONDS = 30.0


@pytest.fixture
def daemon(sqlite_site: SqliteSite):
    """Starts ztaskd on the upgraded site."""
    started = []

    def start(*arguments: str) -> subprocess.Popen[bytes]:
        command = [
            *MANAGE,
            "ztaskd",
            "--noreload",
            "-c",
            "1",
            "-f",
            str(sqlite_site.folder / "log"),
            *arguments,
        ]
        started.append(subprocess.Popen(command, env=sqlite_site.env(), cwd=ROOT))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def wait_for(site: SqliteSite, statement: str, expected: list[object]) -> None:
    deadline = time.monotonic() + SECONDS
    with contextlib.closing(sqlite3.connect(site.path, timeout=20, isolation_level=None)) as database:
        while (found := database.execute(statement).fetchall()) != expected:
            log = site.folder / "log"
            assert time.monotonic() < deadline, f"{found} {log.read_text() if log.exists() else ''}"
            time.sleep(0.01)


def marks(site: SqliteSite) -> list[str]:
    return [line.split()[1] for line in site.ledger.read_text().splitlines()]


# uuid, failed, created
FAILED = [
    ("c", "2012-06-01 10:00:00", 1335866403),
    ("a", "2012-06-02 10:00:00", 1335866401),
    ("d", "2012-06-03 10:00:00", 1335866402),
    ("b", "2012-06-03 10:00:00", 1335866404),
]


def old_rows(shape):
    def failed(uuid, args, kwargs, when="2012-06-01 10:00:00", called=None):
        created = (
            called if shape == "integer" or called is None else time.strftime("%F %T", time.gmtime(called))
        )
        return row(uuid, args, kwargs, failed=when, created=created, exception="boom", retries=0)

    kwargs = "(dp0\nS'seconds'\np1\nF0.0\ns."
    gone = failed("gone", pickles.NO_ARGS, pickles.NO_KWARGS)
    return [
        *(failed(uuid, f"(S'{uuid}'\np0\ntp1\n.", kwargs, when, called) for uuid, when, called in FAILED),
        row("queued", "(S'queued'\nt.", pickles.NO_KWARGS, due=None),
        failed("broken", "(S'x", pickles.NO_KWARGS),
        (gone[0], "shop.tasks.removed", *gone[2:]),
    ]


@pytest.mark.parametrize("shape", [None, "datetime", "integer"])
def test_replayfailed_runs_old_failed_rows_in_the_order_of_created(sqlite_site, fill, daemon, shape):
    fill(sqlite_site, old_rows(shape), shape)
    sqlite_site.manage("migrate", "django_ztask", "--fake", "0001")
    sqlite_site.manage("migrate")
    process = daemon("--replayfailed")
    wait_for(sqlite_site, "SELECT count(*) FROM django_ztask_task WHERE status = 'SUCCEEDED'", [(5,)])
    # A function that is no more: FAILED as unknown, at once. What could not be read is not tried at all.
    left = "SELECT uuid FROM django_ztask_task WHERE status = 'FAILED' ORDER BY uuid"
    wait_for(sqlite_site, left, [("broken",), ("gone",)])
    process.send_signal(signal.SIGTERM)
    assert process.wait(SECONDS) == 0
    order = [uuid for uuid in marks(sqlite_site) if uuid != "queued"]
    assert order == (["c", "a", "b", "d"] if shape is None else ["a", "d", "c", "b"])
    found = {task["uuid"]: task["last_exception"] for task in sqlite_site.tasks()}
    assert "shop.tasks.removed" in found["gone"] or "no node knows" in found["gone"]
    assert "neither a pickle" in found["broken"]


def test_old_queued_rows_run_without_a_flag(sqlite_site, fill, daemon):
    fill(sqlite_site, [row(str(n), f"(S'{n}'\nt.", pickles.NO_KWARGS, due=None) for n in range(5)])
    sqlite_site.manage("migrate")
    daemon()
    wait_for(sqlite_site, "SELECT count(*) FROM django_ztask_task WHERE status = 'SUCCEEDED'", [(5,)])
    assert marks(sqlite_site) == ["0", "1", "2", "3", "4"]


def test_a_row_that_could_not_be_read_is_refused_even_if_somebody_queues_it(sqlite_site, fill, daemon):
    fill(sqlite_site, [row("broken", "(S'x", pickles.NO_KWARGS)])
    sqlite_site.manage("migrate")
    sqlite_site.sql("UPDATE django_ztask_task SET status = 'QUEUED', last_exception = NULL")
    daemon()
    wait_for(sqlite_site, "SELECT status, failures FROM django_ztask_task", [("FAILED", 0)])
    assert "could not be read" in sqlite_site.tasks()[0]["last_exception"]
