"""Our `migrate` is Django's, or another app's, but for the command lines that argparse would lose."""

from __future__ import annotations

import argparse
import sys

import pytest

from tests.upgrade.oldsite import SqliteSite

probe = argparse.ArgumentParser()
probe.add_argument("one", nargs="?")
probe.add_argument("two", nargs="?")
probe.add_argument("--fake", action="store_true")
lost = probe.parse_known_args(["one", "--fake", "two"])[1]
loses = pytest.mark.skipif(not lost, reason="this Python's argparse is mended")

# Prints for each command line what core's parser and ours make of it, where they differ.
COMPARE = """
import contextlib, io, django
django.setup()
from django.core.management.commands.migrate import Command as Core
from django_ztask.management.commands.migrate import Command as Ours

def parse(kind, words):
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        command = kind(stderr=said)
        command._called_from_command_line = True
        try:
            found = vars(command.create_parser("manage.py", "migrate").parse_args(words))
        except SystemExit as ending:
            found = ending.code
    return found, said.getvalue()

for line in [
    "", "django_ztask", "django_ztask 0001", "django_ztask 0001 --fake", "--fake django_ztask 0001",
    "django_ztask zero -v2", "--fake-initial", "--plan --database default", "--database=default shop",
    "--help", "--version", "--fake 1 2 3", "a b c", "django_ztask --fak 0001 x", "--database nowhere",
    "django_ztask --fake 0001 0002", "django_ztask --unknown 0001", "-x", "django_ztask --fake -y", "-- a b",
    "--database", "-v9",
]:
    assert parse(Core, line.split()) == parse(Ours, line.split()), line
print("same", Ours.__mro__[-2].__name__)
"""

MENDED = """
import argparse, django
django.setup()
from django.core.management.commands.migrate import Command as core
broken, argparse.ArgumentParser.parse_known_args = argparse.ArgumentParser.parse_known_args, lambda *_: (0, [])
from django_ztask.management.commands.migrate import Command
argparse.ArgumentParser.parse_known_args = broken
assert Command is core
"""


@loses
def test_the_documented_line_works_and_tells_the_portable_one(sqlite_site: SqliteSite):
    said = sqlite_site.manage("migrate", "django_ztask", "--fake", "0001")
    assert "0001_initial... FAKED" in said
    assert "manage.py migrate django_ztask 0001 --fake" in said
    said = sqlite_site.manage("migrate", "--database", "default", "django_ztask", "--fake", "zero", "-v1")
    assert "manage.py migrate --database default django_ztask zero --fake -v1" in said
    assert sqlite_site.manage("migrate", "django_ztask", "-v0", "--fake", "0001") == ""
    said = sqlite_site.manage("showmigrations", "django_ztask")
    assert "[X] 0001_initial" in said
    assert "[ ] 0003" in said


@loses
def test_call_command_takes_it_too(sqlite_site: SqliteSite):
    code = (
        "from django.core.management import call_command as c; c('migrate', 'django_ztask', '--fake', '0001')"
    )
    assert "FAKED" in sqlite_site.manage("shell", "-c", code)


def test_every_other_command_line_is_understood_or_refused_as_by_core(sqlite_site: SqliteSite):
    assert "same" in sqlite_site.run(sys.executable, "-c", COMPARE)


def test_where_argparse_is_mended_the_command_is_cores_own(sqlite_site: SqliteSite):
    sqlite_site.run(sys.executable, "-c", MENDED)


@pytest.mark.parametrize("place", ["before", "after"])
def test_another_apps_migrate_keeps_its_say(sqlite_site: SqliteSite, place):
    folder = sqlite_site.folder / "theirs" / "management" / "commands"
    folder.mkdir(parents=True)
    (sqlite_site.folder / "theirs" / "__init__.py").touch()
    (folder / "migrate.py").write_text(
        "from django.core.management.commands.migrate import Command as Core\n"
        "class Command(Core):\n"
        "    def handle(self, *args, **options):\n"
        "        self.stdout.write(f'theirs: {options[\"migration_name\"]}')\n"
    )
    ours = ["django_ztask", "tests.project.shop"]
    sqlite_site.settings["INSTALLED_APPS"] = ["theirs", *ours] if place == "before" else [*ours, "theirs"]
    sqlite_site.python_path.append(str(sqlite_site.folder))
    assert "theirs: 0001" in sqlite_site.manage("migrate", "django_ztask", "0001", "--fake")
    if place == "after":
        assert "theirs: 0001" in sqlite_site.manage("migrate", "django_ztask", "--fake", "0001")
