"""The project that the daemon works for: its settings, checks, database and modules, each refused with
the reason when it will not do. Django is imported inside the functions: after gevent was patched in.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import sys
import traceback
from pathlib import Path
from typing import Any

from ztaskd.cli import Exit
from ztaskd.notify import manager


class Refusal(Exception):
    """Why the daemon does not start, for the operator, and the exit code. `final`: no edit of the project mends it."""

    def __init__(self, code: Exit, reason: str, final: bool = False) -> None:
        super().__init__(reason)
        self.code = code
        self.final = final


def setup_django(options: argparse.Namespace) -> None:
    for folder in filter(None, [os.getcwd(), options.pythonpath]):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    module = options.settings or os.environ.get("DJANGO_SETTINGS_MODULE") or _from_manage_py()
    if not module:
        raise Refusal(
            Exit.USAGE,
            "which project? Run it in the folder of manage.py, or give --settings MODULE (or set "
            "DJANGO_SETTINGS_MODULE)",
            final=True,
        )
    os.environ["DJANGO_SETTINGS_MODULE"] = module
    import django
    from django.apps import apps
    from django.core.exceptions import ImproperlyConfigured

    try:
        django.setup()
    except ImproperlyConfigured as error:
        raise Refusal(Exit.USAGE, f"settings {module}: {error}") from None
    except ModuleNotFoundError as error:
        if error.name is None or not (module + ".").startswith(error.name + "."):
            raise Refusal(Exit.USAGE, f"settings {module} do not load:\n{traceback.format_exc()}") from None
        raise Refusal(Exit.USAGE, f"settings {module} cannot be imported: {error}", final=True) from None
    except Exception:
        raise Refusal(Exit.USAGE, f"settings {module} do not load:\n{traceback.format_exc()}") from None
    if not apps.is_installed("django_ztask"):
        raise Refusal(Exit.USAGE, f'add "django_ztask" to INSTALLED_APPS (settings {module})')


def _from_manage_py() -> str | None:
    try:
        text = Path("manage.py").read_text(errors="replace")
    except OSError:
        return None
    found = re.search(r"""DJANGO_SETTINGS_MODULE["'],\s*["']([\w.]+)["']""", text)
    return found[1] if found else None


def check_project(fail_fast: bool) -> list[str]:
    """The warnings of our own system checks (of all, unless `fail_fast`: those take their time)."""
    from django.core import checks

    found = checks.run_checks(tags=["ztaskd"] if fail_fast else None)
    found = [message for message in found if not message.is_silenced()]
    serious = [_text(message) for message in found if message.is_serious()]
    if serious:
        raise Refusal(Exit.USAGE, "\n".join(serious))
    return [_text(message) for message in found if message.level >= checks.WARNING]


def _text(message: Any) -> str:
    return f"{message.msg}{f' HINT: {message.hint}' if message.hint else ''} ({message.id})"


def check_journal() -> None:
    """Refuses a journal that is not there, or not migrated."""
    from django.db import DatabaseError, InterfaceError, connections

    from django_ztask import models
    from django_ztask.conf import conf

    connection = connections[conf.database]
    name = describe_journal(connection)
    migrate = "python manage.py migrate"
    if conf.database != "default":
        migrate += f" --database {conf.database}"
    if connection.vendor == "sqlite":
        _check_file(connection, migrate)
        # (We need it. Django would try it out, in a transaction that waits for SQLite's lock: who only reads need not.)
        vars(connection.features)["supports_json_field"] = True
    elif connection.vendor == "postgresql":
        _check_driver()
    try:
        with connection.cursor() as cursor:
            tables = connection.introspection.table_names(cursor)
            for model in (models.Task, models.Attempt, models.Node, models.Replay, models.Pause):
                table = model._meta.db_table
                if table not in tables:
                    raise Refusal(Exit.DATABASE, f"the table {table} is missing in {name}. Run: {migrate}")
                columns = {c.name for c in connection.introspection.get_table_description(cursor, table)}
                missing = {str(field.column) for field in model._meta.local_fields} - columns
                if missing:
                    what = f"{table} lacks {', '.join(sorted(missing))}"
                    raise Refusal(Exit.DATABASE, f"{what} in {name}. Run: {migrate}")
    except (DatabaseError, InterfaceError) as error:
        raise Refusal(Exit.DATABASE, f"the database {name} cannot be used: {error}") from None


def describe_journal(connection: Any) -> str:
    """The journal's database for a log line: never its password."""
    settings = connection.settings_dict
    if connection.vendor == "sqlite":
        return str(settings["NAME"])
    where = settings["HOST"] or "local socket"
    return f"{settings['NAME']} ({connection.display_name}, {where})"


def _check_file(connection: Any, migrate: str) -> None:
    name = str(connection.settings_dict["NAME"])
    if connection.is_in_memory_db():
        raise Refusal(Exit.DATABASE, f"the database {name} is in memory: no other process can share it")
    if not name.startswith("file:") and not Path(name).exists():
        raise Refusal(Exit.DATABASE, f"there is no database {name}. Run: {migrate}")


def _check_driver() -> None:
    from django.db.backends.postgresql.psycopg_any import is_psycopg3

    if not is_psycopg3:
        raise Refusal(
            Exit.USAGE,
            "psycopg2 would stop all tasks while one waits for the database. Run: pip install 'ztaskd[postgres]'",
        )


def load_tasks() -> None:
    """Imports where task functions are: `tasks` modules of the installed apps, and ZTASKD_IMPORTS."""
    from django.utils.module_loading import autodiscover_modules

    from django_ztask.conf import conf

    manager.booting("loading the tasks")
    try:
        autodiscover_modules("tasks")
        for module in conf.imports:
            importlib.import_module(module)
    except Exception as error:
        raise Refusal(Exit.USAGE, f"a module with tasks does not load:\n{_raised(error)}") from None


def _raised(error: Exception) -> str:
    """Its traceback, from the project's code on: who imports that is not of interest."""
    from django.utils import module_loading

    importers = (__file__, importlib.__file__, module_loading.__file__)
    place = error.__traceback__
    while place is not None and (
        (name := place.tb_frame.f_code.co_filename) in importers or name.startswith("<frozen importlib")
    ):
        place = place.tb_next
    text = "".join(traceback.format_exception(type(error), error, place)).rstrip()
    head = "Traceback (most recent call last):\n"
    return text if text.startswith(head) else head + text  # (a file that cannot be read has no place in it)


def run_on_load() -> None:
    """Calls what ZTASKD_ON_LOAD names, once each, in order."""
    from django.utils.module_loading import import_string

    from django_ztask.conf import conf

    for path in conf.on_load:
        manager.booting(f"ZTASKD_ON_LOAD, {path}")
        try:
            import_string(path)()
        except Exception:
            raise Refusal(Exit.CRASH, f"ZTASKD_ON_LOAD: {path} raised:\n{traceback.format_exc()}") from None


def prepare_journal(connection: Any) -> None:
    """What the daemon asks of the journal's database before it serves, and says about it."""
    if connection.vendor == "sqlite":
        _use_wal(connection)
    elif connection.vendor == "postgresql":
        _warn_of_relaxed_commits(connection)


def _warn_of_relaxed_commits(connection: Any) -> None:
    from ztaskd import events

    with connection.cursor() as cursor:
        cursor.execute("SHOW synchronous_commit")
        if cursor.fetchone()[0] == "off":
            text = "synchronous_commit is off for this database: a power cut can lose accepted tasks"
            events.emit("warning", text=text)


def _use_wal(connection: Any) -> None:
    """Write-ahead logging: readers never wait for the writer. The mode stays with the file."""
    from ztaskd import events

    with connection.cursor() as cursor:
        cursor.execute("PRAGMA journal_mode")
        before = cursor.fetchone()[0]
        if before != "wal":
            cursor.execute("PRAGMA journal_mode = WAL")
            now = cursor.fetchone()[0]
            if now == "wal":
                events.emit(
                    "note", text=f"the journal's file now uses WAL (it was {before}), and will from now on"
                )
            else:
                events.emit(
                    "warning", text=f"the journal's file cannot use WAL (it is {now}): readers will wait"
                )
