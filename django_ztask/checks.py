"""System checks: wrong settings are found at `manage.py check` and at the daemon's start, with a hint."""

from __future__ import annotations

import difflib
import os
import re
import sqlite3
import sys
from collections.abc import Iterator
from typing import Any

from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Info, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.db.utils import load_backend
from django.utils.module_loading import import_string

from django_ztask import sql
from django_ztask.conf import PREFIX, Setting, Settings, conf

SQLITE_OPTIONS = """"OPTIONS": {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL;",
    },"""

# How files are called that tell of an installed django-ztask (our own package folder is not called so).
_OLD = re.compile(r"django[-_.]ztask[-.]", re.IGNORECASE)

_RELAXED = re.compile(r"synchronous\s*=\s*(normal|off|0|1)\b", re.IGNORECASE)


@register("ztaskd")
def check_settings(**kwargs: Any) -> list[CheckMessage]:
    """Every check of ztaskd."""
    return [*_unknown_names(), *_values(), *_on_load(), *_journal(), *_old_distribution()]


def _known() -> dict[str, Setting[Any]]:
    return {setting.name: setting for setting in Settings()}


def _unknown_names() -> Iterator[CheckMessage]:
    known = _known()
    for name in dir(django_settings):
        if name.startswith(PREFIX) and name not in known:
            words = [other.removeprefix(PREFIX) for other in known]
            close = difflib.get_close_matches(name.removeprefix(PREFIX), words, n=1)
            hint = f"Did you mean {PREFIX}{close[0]}?" if close else f"Known are: {', '.join(sorted(known))}."
            yield Warning(f"Unknown setting {name}: it has no effect.", hint=hint, id="ztaskd.W001")


def _values() -> Iterator[CheckMessage]:
    for setting in _known().values():
        try:
            setting.__get__(conf, Settings)
        except ImproperlyConfigured as error:
            hint = f"The default is {setting.default!r}; remove the setting to use it."
            yield Error(f"{error}.", hint=hint, id="ztaskd.E001")


def _on_load() -> Iterator[CheckMessage]:
    try:
        paths = conf.on_load
    except ImproperlyConfigured:
        return
    for path in paths:
        try:
            found = import_string(path)
        except Exception as error:
            hint = "Name a function or class as 'module.name'."
            yield Error(f"ZTASKD_ON_LOAD: {path!r} cannot be imported: {error}.", hint=hint, id="ztaskd.E002")
            continue
        if not callable(found):
            hint = "Name a function or class."
            yield Error(f"ZTASKD_ON_LOAD: {path!r} cannot be called.", hint=hint, id="ztaskd.E002")


def _journal() -> Iterator[CheckMessage]:
    try:
        alias = conf.database
    except ImproperlyConfigured:
        return
    if alias not in django_settings.DATABASES:
        hint = f"DATABASES has: {', '.join(django_settings.DATABASES)}."
        yield Error(f"ZTASKD_DATABASE: there is no database {alias!r}.", hint=hint, id="ztaskd.E003")
        return
    database = django_settings.DATABASES[alias]
    vendor = _vendor(str(database["ENGINE"]))
    if vendor not in sql.STATEMENTS:
        yield Error(
            f"The journal's database {alias!r} is {vendor}: ztaskd journals on SQLite and PostgreSQL.",
            hint="Point ZTASKD_DATABASE to one of those; it need not be the project's only database.",
            id="ztaskd.E004",
        )
        return
    if vendor == "sqlite":
        yield from _sqlite(alias, database)
    if alias != "default":
        yield Info(
            f"Tasks are recorded in the database {alias!r}: a transaction on another database does not hold "
            "them back, nor take them back.",
            hint=f"Use transaction.atomic(using={alias!r}) around calls that must stand or fall together.",
            id="ztaskd.I001",
        )


def _vendor(engine: str) -> str:
    """What kind of database it is, whoever wrote the backend; the engine's name when it does not load."""
    try:
        return str(load_backend(engine).DatabaseWrapper.vendor)
    except ImproperlyConfigured:
        return engine


def _sqlite(alias: str, database: dict[str, Any]) -> Iterator[CheckMessage]:
    if sqlite3.sqlite_version_info < (3, 35):
        yield Error(
            f"SQLite {sqlite3.sqlite_version} is too old for the journal: it needs 3.35 or newer (RETURNING).",
            hint="Use a Python that is linked to a newer SQLite.",
            id="ztaskd.E005",
        )
    options = database.get("OPTIONS") or {}
    if str(options.get("transaction_mode")).upper() not in ("IMMEDIATE", "EXCLUSIVE"):
        yield Warning(
            f"The SQLite database {alias!r} opens deferred transactions: a view that reads and then writes "
            "fails with 'database is locked' while the daemon works beside it.",
            hint=f"Put this into DATABASES[{alias!r}]:\n    {SQLITE_OPTIONS}",
            id="ztaskd.W002",
        )
    if _RELAXED.search(str(options.get("init_command") or "")):
        yield Warning(
            f"The SQLite database {alias!r} is set to less than synchronous=FULL: a power cut can lose tasks "
            "that were accepted (a crash of a program cannot).",
            hint="Remove 'PRAGMA synchronous' from its init_command.",
            id="ztaskd.W003",
        )


def _old_distribution() -> Iterator[CheckMessage]:
    if not any(_OLD.match(name) for folder in sys.path for name in _names(folder)):
        return  # (to import importlib.metadata takes longer than all of our checks)
    from importlib.metadata import PackageNotFoundError, version

    try:
        old = version("django-ztask")
    except PackageNotFoundError:
        return
    yield Warning(
        f"django-ztask {old} is installed beside ztaskd: both own the package folder django_ztask, so either "
        "may overwrite or remove files of the other.",
        hint=f"Run: {sys.executable} -m pip uninstall django-ztask; then install ztaskd again, with "
        "--force-reinstall --no-deps, since the first takes shared files away.",
        id="ztaskd.W004",
    )


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder or ".")
    except OSError:  # there is none, or it is a zip file
        return []
