"""A site of its own for each test: database, ledger, address, and the processes that work on them.

Nothing in here imports Django: what tests know of the journal, they read with plain sqlite3.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

from tests.acceptance.daemon import MANAGE, PATIENCE, ROOT, Caller, Daemon, Program, wait_for


class Site:
    """One project on one SQLite file, with one node's address."""

    def __init__(self, folder: Path, template: Path, **settings: Any) -> None:
        self.folder = folder
        self.database = folder / "db.sqlite3"
        self.ledger_path = folder / "ledger"
        self.gate = folder / "gate"  # `gated` tasks end when it is there
        self.settings = {"ZTASKD_URL": f"ipc://{folder}/run/node", **settings}
        self.program = MANAGE
        self.programs: list[Program] = []
        self._next_caller: Caller | None = None
        shutil.copyfile(template, self.database)

    def env(self, **more: str) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("ZTASKD_", "SHOP_", "DJANGO_"))}
        return {
            **kept,
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "DJANGO_SETTINGS_MODULE": "tests.project.settings",
            "SHOP_DATABASE": str(self.database),
            "SHOP_LEDGER": str(self.ledger_path),
            "SHOP_SETTINGS": json.dumps(self.settings),
            **more,
        }

    # -- processes ----------------------------------------------------------------------------------

    def start(
        self,
        *args: str,
        program: list[str] | None = None,
        ready: bool = True,
        log: bool = True,
        reload: bool = False,
        cwd: Path = ROOT,
        **env: str,
    ) -> Daemon:
        """A daemon, once it is `ready`. Without `log`, its log is its standard output. With `reload`, as a developer
        starts it: two processes, of which this is the parent."""
        output = self.folder / f"{len(self.programs)}.out"
        path = output.with_suffix(".log") if log else output
        command = [
            *(program or self.program),
            *([] if reload else ["--noreload"]),
            *(["-f", str(path)] if log else []),
            *args,
        ]
        daemon = Daemon(command, self.env(**env), cwd, output, path)
        self.programs.append(daemon)
        if self._next_caller is None:
            self._next_caller = self._caller({})  # it starts while the daemon does
        if ready:
            daemon.says(" ready in ")
        return daemon

    def spawn(self, code: str, **env: str) -> Program:
        """A process of the project that runs `code`."""
        caller, self._next_caller = self._next_caller, None
        if caller is None or caller.env != self.env(**env):
            caller = self._caller(env)
        caller.run(code)
        return caller

    def _caller(self, env: dict[str, str]) -> Caller:
        caller = Caller(self.env(**env), self.folder / f"{len(self.programs)}.out")
        self.programs.append(caller)
        return caller

    def run_in_background(self, command: list[str], cwd: Path = ROOT, **env: str) -> Program:
        output = self.folder / f"{len(self.programs)}.out"
        program = Program(command, self.env(**env), cwd, output)
        self.programs.append(program)
        return program

    def call(self, code: str, exit_code: int = 0, **env: str) -> Any:
        """Runs `code` in another process, to its end. Returns the last value it has shown."""
        program = self.spawn(code, **env)
        assert program.wait(60) == exit_code, program.text
        shown = program.text.splitlines()
        return json.loads(shown[-1]) if shown else None

    def command(self, *args: str, program: list[str] = MANAGE, **more: Any) -> tuple[int, str]:
        """A ztaskd that ends by itself: exit code and output."""
        options: dict[str, Any] = {"env": self.env(), "cwd": ROOT, **more}
        done = subprocess.run(
            [*program, *args], capture_output=True, text=True, timeout=PATIENCE, check=False, **options
        )
        return done.returncode, done.stdout + done.stderr

    def close(self) -> None:
        for program in self.programs:
            program.kill9()

    # -- what came of it ----------------------------------------------------------------------------

    def sql(self, statement: str, *values: Any) -> list[Any]:
        """Rows; bare values when they have one column."""
        with contextlib.closing(sqlite3.connect(self.database, timeout=20, isolation_level=None)) as journal:
            rows = journal.execute(statement, values).fetchall()
        return [row[0] if len(row) == 1 else row for row in rows]

    def task(self, task_id: str) -> dict[str, Any]:
        with contextlib.closing(sqlite3.connect(self.database, timeout=20)) as journal:
            journal.row_factory = sqlite3.Row
            row = journal.execute("SELECT * FROM django_ztask_task WHERE uuid = ?", [task_id]).fetchone()
        return dict(row)

    def count(self, **columns: Any) -> int:
        """Tasks whose columns have these values."""
        where = " AND ".join(f"{name} = ?" for name in columns) or "1 = 1"
        return int(self.sql(f"SELECT count(*) FROM django_ztask_task WHERE {where}", *columns.values())[0])

    def wait_status(self, task_id: str, status: str, seconds: float = PATIENCE) -> dict[str, Any]:
        """The row, once it is in that state. Fails at once when it has ended in another one."""

        def reached() -> bool:
            row = self.task(task_id)
            assert row["status"] in ("QUEUED", "RUNNING", status), f"not {status}: {row}"
            return bool(row["status"] == status)

        wait_for(reached, f"{task_id} {status}", seconds)
        return self.task(task_id)

    def wait_count(self, number: int, seconds: float = PATIENCE, **columns: Any) -> None:
        wait_for(lambda: self.count(**columns) == number, f"{number} tasks with {columns}", seconds)

    @property
    def ledger(self) -> list[list[str]]:
        """The lines that tasks left, each as words."""
        if not self.ledger_path.exists():
            return []
        return [line.split() for line in self.ledger_path.read_text().splitlines()]

    def marks(self) -> list[str]:
        """The words of `mark` tasks, in the order in which they ended."""
        return [line[1] for line in self.ledger if line[0] == "mark"]

    def wait_marks(self, number: int, seconds: float = PATIENCE) -> list[str]:
        wait_for(lambda: len(self.marks()) >= number, f"{number} marks", seconds)
        return self.marks()
