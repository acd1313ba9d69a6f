"""`manage.py migrate`, so that django-ztask's documented upgrade line works: `migrate django_ztask --fake 0001`.

The argparse of many Pythons does not find the 0001 (python/cpython#59317). Only there, and only for command
lines that it ends with "unrecognized arguments", something differs from the command that would run without
this file: Django's, or that of an app further down in INSTALLED_APPS.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

from django.apps import apps
from django.core.management import find_commands
from django.core.management.base import BaseCommand


def argparse_loses_arguments() -> bool:
    """True where an option between two positional arguments makes argparse miss the second."""
    probe = argparse.ArgumentParser()
    probe.add_argument("app_label", nargs="?")
    probe.add_argument("migration_name", nargs="?")
    probe.add_argument("--fake", action="store_true")
    return bool(probe.parse_known_args(["app", "--fake", "0001"])[1])


def next_migrate() -> type[BaseCommand]:
    """The `migrate` that Django would take if there were none here: an earlier app's goes before a later's."""
    configs = list(apps.get_app_configs())
    ours = [config.label for config in configs].index("django_ztask")
    for config in configs[ours + 1 :]:
        if "migrate" in find_commands(os.path.join(config.path, "management")):
            command: type[BaseCommand] = import_module(f"{config.name}.management.commands.migrate").Command
            return command
    from django.core.management.commands.migrate import Command as core

    return core


class Intermixed(BaseCommand):
    """Finds the positional arguments that argparse lost behind an option."""

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        plain: Callable[..., argparse.Namespace] = parser.parse_args

        def parse_args(args: Any = None, namespace: Any = None) -> argparse.Namespace:
            words = sys.argv[1:] if args is None else list(args)
            lost = parser.parse_known_args(words)[1]
            if lost and not any(word.startswith("-") for word in lost):
                found, unknown = parser.parse_known_intermixed_args(words, namespace)
                if not unknown:
                    if found.verbosity:
                        line = portable(parser.prog, words, lost, found.app_label)
                        self.stderr.write(f"Understood as (which works with every Python): {line}")
                    return found
            return plain(args, namespace)

        parser.parse_args = parse_args  # type: ignore[method-assign, assignment]
        return parser


def portable(prog: str, words: list[str], lost: list[str], app_label: str) -> str:
    """The same command line, with what argparse lost right behind the app's label."""
    rest = list(words)
    for word in lost:
        rest.remove(word)
    place = rest.index(app_label) + 1
    return f"{prog} {shlex.join([*rest[:place], *lost, *rest[place:]])}"


if argparse_loses_arguments():

    class Command(Intermixed, next_migrate()):  # type: ignore[misc]
        pass

else:
    Command = next_migrate()  # type: ignore[misc, assignment]
