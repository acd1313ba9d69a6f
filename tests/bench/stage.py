"""Where a workload plays: a fresh site with its daemon and callers, and what can be said of it in the end."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.acceptance.daemon import MANAGE, MODULE, ROOT, Daemon, Program, free_port, wait_for
from tests.acceptance.site import Site
from tests.bench import fill
from tests.bench.evidence import Evidence, Failed
from tests.bench.figures import Aim

# Seconds that an order, or the last outcomes, may take; far more than they need.
PATIENCE = 300.0

COUNTS = "SELECT status, count(*) FROM django_ztask_task GROUP BY status"


class Client(Program):
    """A caller's process: `ask` gives it an order, `answer` waits for what came of it."""

    def __init__(self, env: dict[str, str], output: Path) -> None:
        command = [sys.executable, "-m", "tests.bench.client"]
        super().__init__(command, env, ROOT, output, subprocess.PIPE)
        self._answers = 0
        self.answer()

    def ask(self, **order: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order).encode() + b"\n")
        self.process.stdin.flush()

    def answer(self, errors: bool = False) -> dict[str, Any]:
        """The answer to the next order. Raises Failed when the process ended instead, and, unless `errors` are
        to be looked at, when a call failed."""
        wait_for(
            lambda: self._said() > self._answers or self.process.poll() is not None, "an answer", PATIENCE
        )
        if self._said() <= self._answers:
            raise Failed(f"a client ended with {self.process.poll()}: {self.text[-2000:]}")
        line = self.text.splitlines()[self._answers]
        self._answers += 1
        if not line.startswith("{"):
            raise Failed(f"a client said: {self.text[-2000:]}")
        answer = dict(json.loads(line))
        if answer.get("errors") and not errors:
            raise Failed(f"{len(answer['errors'])} calls failed: {answer['errors'][0]}")
        return answer

    def run(self, **order: Any) -> dict[str, Any]:
        self.ask(**order)
        return self.answer()

    def end(self) -> None:
        """It has no more to do."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        if self.wait() != 0:
            raise Failed(f"a client ended with {self.process.poll()}: {self.text[-2000:]}")

    def _said(self) -> int:
        return self.output.read_bytes().count(b"\n")


class Stage(Site):
    """A site on SQLite. `folder` is its own; `templates` are to be copied; `scale` shrinks the counts."""

    vendor = "sqlite"

    def __init__(self, folder: Path, templates: Any, scale: float = 1.0, history: int = 0) -> None:
        self.folder = folder
        self.templates = templates
        self.scale = scale
        self.history = history
        self.waiting = 0
        self.database = folder / "db.sqlite3"
        self.ledger_path = folder / "ledger"
        self.settings: dict[str, Any] = {
            "ZTASKD_URL": f"tcp://127.0.0.1:{free_port()}",
            "ZTASKD_IMPORTS": ["tests.bench.tasks"],
            "ZTASKD_CHILD_NICE": 10,  # (its default, which the tests' own settings change)
        }
        self.programs: list[Program] = []
        self.starts, self.ends = (Evidence(folder / name) for name in ("starts", "ends"))
        self.starts.path.touch()
        self.ends.path.touch()
        self.make()

    # -- the database, and one more for the limits ---------------------------------------------------

    def make(self) -> None:
        shutil.copyfile(self.templates.full, self.database)
        fill.to_disk(self.database)

    def raw(self, relaxed: bool = False) -> dict[str, Any]:
        """A fresh and empty second database of the same schema, for `raw.connect`."""
        place = self.folder / f"raw-{time.monotonic_ns()}.sqlite3"
        shutil.copyfile(self.templates.empty, place)
        fill.to_disk(place)
        return {"vendor": self.vendor, "place": str(place), "relaxed": relaxed}

    def wait_for_later(self, rows: int) -> None:
        """Tasks that are due in some days are there too."""
        self.waiting = rows
        if rows:
            fill.fill_sqlite(self.database, 0, rows)

    # -- processes -----------------------------------------------------------------------------------

    def env(self, **more: str) -> dict[str, str]:
        return super().env(BENCH_EVIDENCE=str(self.folder), **more)

    def daemon(self, *args: str, ready: bool = True) -> Daemon:
        """As users run it: at INFO, to a file."""
        log = self.folder / f"daemon-{len(self.programs)}.log"
        command = [*MODULE, "--noreload", "-l", "INFO", "-f", str(log), *args]
        daemon = Daemon(command, self.env(), ROOT, self.folder / f"{len(self.programs)}.out", log)
        self.programs.append(daemon)
        if ready:
            daemon.says(" ready in ")
        return daemon

    def client(self) -> Client:
        client = Client(self.env(), self.folder / f"{len(self.programs)}.out")
        self.programs.append(client)
        return client

    def alive(self) -> None:
        """Raises Failed when a process has ended by itself."""
        for program in self.programs:
            if program.process.poll():
                raise Failed(f"{program.process.args!r} ended: {program.text[-2000:]}")

    # -- what came of it -----------------------------------------------------------------------------

    def scaled(self, count: int, least: int = 20) -> int:
        return max(least, int(count * self.scale))

    def aim(self, sqlite: Aim | None, postgresql: Aim | None = None) -> Aim | None:
        """The one for this stage's database."""
        return postgresql if self.vendor == "postgresql" else sqlite

    def started(self, numbers: Iterable[int]) -> dict[int, int]:
        """number -> start (monotonic ns), once these tasks have started and all that were made SUCCEEDED.
        Raises Failed when one is lost, was started twice, or failed."""
        wanted = set(numbers)
        self.starts.wait(len(wanted), self.alive)
        expected = {"SUCCEEDED": len(wanted) + self.history, "QUEUED": self.waiting}
        expected = {status: number for status, number in expected.items() if number}
        with contextlib.suppress(AssertionError):
            wait_for(lambda: not self.unfinished(), "all outcomes in the journal", PATIENCE)
        found = dict(self.sql(COUNTS))
        if found != expected:
            raise Failed(f"the journal has {found}, not {expected}")
        starts = self.starts.read()
        if set(starts) != wanted:
            raise Failed(f"{len(wanted - set(starts))} of {len(wanted)} tasks were never started")
        return starts

    def unfinished(self) -> bool:
        query = "SELECT count(*) FROM django_ztask_task WHERE status = "
        time.sleep(0.1)
        running, queued = (int(self.sql(f"{query}'{status}'")[0]) for status in ("RUNNING", "QUEUED"))
        return bool(running or queued > self.waiting)

    def rss(self, daemon: Daemon) -> float:
        """Resident memory, in MiB."""
        status = Path(f"/proc/{daemon.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024


def migrate(settings: dict[str, Any], database: Path) -> None:
    site = Site.__new__(Site)
    site.database, site.ledger_path, site.settings = database, database.with_name("none"), settings
    subprocess.run([*MANAGE[:2], "migrate", "-v0"], env=site.env(), cwd=ROOT, check=True, timeout=PATIENCE)


class SQLite:
    """Migrated databases that stages copy: an empty one, and one with its history."""

    stage = Stage

    def __init__(self, folder: Path, history: int) -> None:
        self.empty, self.full = folder / "empty.sqlite3", folder / "full.sqlite3"
        migrate({}, self.empty)
        with contextlib.closing(sqlite3.connect(self.empty)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        shutil.copyfile(self.empty, self.full)
        fill.fill_sqlite(self.full, history, 0)
