"""The only place that builds things: django.setup, checks, locks, ZTASKD_ON_LOAD, wiring."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import re
import sys
import time
import traceback
import uuid
from pathlib import Path
from typing import Any

from ztaskd.cli import Exit


class Refusal(Exception):
    """Why the daemon does not start, for the operator, and the exit code."""

    def __init__(self, code: Exit, reason: str) -> None:
        super().__init__(reason)
        self.code = code


def run(options: argparse.Namespace) -> int:
    """The whole life of the process after gevent was patched in. Returns the exit code."""
    from ztaskd import logs

    began = time.perf_counter()
    logs.open_standard_descriptors()
    terminal = os.dup(2)
    try:
        return _run(options, began)
    except Refusal as refusal:
        _say(terminal, options, str(refusal))
        return refusal.code
    except Exception:
        _say(terminal, options, f"crashed while starting:\n{traceback.format_exc()}")
        return Exit.CRASH


def _run(options: argparse.Namespace, began: float) -> int:
    from ztaskd import logs

    setup_django(options)
    notes = check_project(fail_fast=not options.check)
    if options.check:
        journal_path()
        load_tasks()
        print("ztaskd: settings, database and task modules are fine")
        return Exit.CLEAN
    try:
        handler = logs.open_log(options.logfile)
    except OSError as error:
        raise Refusal(Exit.USAGE, f"--logfile: cannot write {options.logfile}: {error.strerror}") from None
    logs.configure(handler, options.loglevel)
    log = logging.getLogger("ztaskd")
    for note in notes:
        log.warning("%s", note)
    if not options.noreload:
        log.info("reloading is not available yet: this daemon keeps the code it has read (--noreload)")
    return serve(options, began)


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
        raise Refusal(Exit.USAGE, f"settings {module} cannot be imported: {error}") from None
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
    texts = [f"{m.msg}{f' HINT: {m.hint}' if m.hint else ''} ({m.id})" for m in found if not m.is_silenced()]
    serious = [m for m in found if m.is_serious() and not m.is_silenced()]
    if serious:
        raise Refusal(Exit.USAGE, "\n".join(f"{m.msg} HINT: {m.hint} ({m.id})" for m in serious))
    if not fail_fast:
        for text in texts:
            print(f"ztaskd: {text}")
    return [text for m, text in zip(found, texts, strict=False) if m.level >= checks.WARNING]


def journal_path() -> Path:
    """The journal's SQLite file, when it is there and migrated."""
    from django.db import DatabaseError, connections

    from django_ztask import models
    from django_ztask.conf import conf

    connection = connections[conf.database]
    name = str(connection.settings_dict["NAME"])
    if ":memory:" in name or "mode=memory" in name:
        raise Refusal(
            Exit.DATABASE, f"the database {conf.database!r} is in memory: no other process can share it"
        )
    path = Path(name)
    migrate = "python manage.py migrate" + (
        "" if conf.database == "default" else f" --database {conf.database}"
    )
    if not path.exists():
        raise Refusal(Exit.DATABASE, f"there is no database {path}. Run: {migrate}")
    try:
        with connection.cursor() as cursor:
            for model in (models.Task, models.Attempt, models.Node):
                table = model._meta.db_table
                if table not in connection.introspection.table_names(cursor):
                    raise Refusal(Exit.DATABASE, f"the table {table} is missing in {path}. Run: {migrate}")
                columns = {c.name for c in connection.introspection.get_table_description(cursor, table)}
                missing = {str(field.column) for field in model._meta.local_fields} - columns
                if missing:
                    what = f"{table} lacks {', '.join(sorted(missing))}"
                    raise Refusal(Exit.DATABASE, f"{what} in {path}. Run: {migrate}")
    except DatabaseError as error:
        raise Refusal(Exit.DATABASE, f"the database {path} cannot be used: {error}") from None
    return path


def load_tasks() -> None:
    """Imports where task functions are: `tasks` modules of the installed apps, and ZTASKD_IMPORTS."""
    from django.utils.module_loading import autodiscover_modules

    from django_ztask.conf import conf

    try:
        autodiscover_modules("tasks")
        for module in conf.imports:
            importlib.import_module(module)
    except Exception:
        raise Refusal(Exit.USAGE, f"a module with tasks does not load:\n{traceback.format_exc()}") from None


def run_on_load() -> None:
    """Calls what ZTASKD_ON_LOAD names, once each, in order."""
    from django.utils.module_loading import import_string

    from django_ztask.conf import conf

    for path in conf.on_load:
        try:
            import_string(path)()
        except Exception:
            raise Refusal(Exit.CRASH, f"ZTASKD_ON_LOAD: {path} raised:\n{traceback.format_exc()}") from None


def use_wal(connection: Any) -> None:
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


def serve(options: argparse.Namespace, began: float) -> int:
    from ztaskd.addresses import AddressInUse
    from ztaskd.locks import LockFile

    path = journal_path()
    pidfile = LockFile(Path(options.pidfile)) if options.pidfile else None
    if pidfile is not None:
        _write_pidfile(pidfile)
    try:
        return _serve(options, path, began)
    except AddressInUse as error:
        advice = "Stop it, or give this project another ZTASKD_URL (5555 is also Flower's port)."
        raise Refusal(Exit.ADDRESS_IN_USE, f"{error}. {advice}") from None
    finally:
        if pidfile is not None:
            pidfile.release()


def _serve(options: argparse.Namespace, path: Path, began: float) -> int:
    from django.db import connections

    from django_ztask.conf import conf
    from ztaskd import locks, recover
    from ztaskd.addresses import AddressInUse
    from ztaskd.lease import Lease
    from ztaskd.node import Node

    boot, folder = str(uuid.uuid4()), locks.folder_for(path)
    node_lock = locks.LockFile(folder / f"node-{conf.node}.lock")
    if not node_lock.acquire(f"pid {os.getpid()}"):
        raise AddressInUse(f"the node name {conf.node!r} (ZTASKD_NODE)", node_lock.holder())
    boot_lock = locks.LockFile(recover.boot_lock(folder, boot))
    boot_lock.acquire(f"pid {os.getpid()}")
    try:
        node = Node(
            Lease(boot, conf.node, conf.url[0], conf.lease),
            folder=folder,
            concurrency=options.concurrency or conf.concurrency,
            grace=conf.grace if options.grace is None else options.grace,
        )
        node.bind()
        load_tasks()
        run_on_load()
        use_wal(connections[conf.database])
        connections.close_all()
        return node.run(options.replayfailed, began)
    except ValueError as error:
        raise Refusal(Exit.USAGE, str(error)) from None
    finally:
        boot_lock.release()
        node_lock.release()


def _write_pidfile(pidfile: Any) -> None:
    try:
        free = pidfile.acquire(str(os.getpid()))
    except OSError as error:
        raise Refusal(Exit.PIDFILE, f"--pidfile: cannot write {pidfile.path}: {error.strerror}") from None
    if not free:
        raise Refusal(
            Exit.PIDFILE, f"--pidfile: {pidfile.path} is held by a running ztaskd, pid {pidfile.holder()}"
        )


def _say(terminal: int, options: argparse.Namespace, text: str) -> None:
    """To the terminal (or the supervisor's log), and to the log file when that is open."""
    if options.logfile and logging.getLogger("ztaskd").handlers:
        logging.getLogger("ztaskd").critical("%s", text)
    try:
        os.write(terminal, f"ztaskd: {text}\n".encode("utf-8", "backslashreplace"))
    except OSError:
        pass
