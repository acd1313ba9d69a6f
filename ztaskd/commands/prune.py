"""`ztaskd prune`: deletes tasks that succeeded long ago, a few rows at a time."""

from __future__ import annotations

import argparse
import time
from typing import Any

# Rows of one transaction; and how much longer than it took the next one is put off (a daemon works beside).
BATCH, REST = 200, 1.0


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    from ztaskd.cli import age

    text = "delete tasks that succeeded, or were cancelled, longer ago than this (failed ones stay)"
    parser = commands.add_parser("prune", help=text, description=text.capitalize() + ".", parents=[common])
    parser.add_argument(
        "--older-than", required=True, type=age, metavar="AGE", help="90 (seconds), 30m, 12h, 1d or 2w"
    )
    parser.add_argument("--dry-run", action="store_true", help="only say how many there are")


def run(options: argparse.Namespace) -> int:
    from django.db import DatabaseError, InterfaceError, connections

    from django_ztask import upkeep
    from django_ztask.conf import conf
    from ztaskd.cli import Exit
    from ztaskd.project import Refusal

    connection: Any = connections[conf.database]
    before = time.time() - options.older_than
    since = time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(before))
    try:
        if options.dry_run:
            count = upkeep.prunable(connection, before)
            print(
                f"{count} task(s) succeeded, or were cancelled, before {since}; nothing was deleted (--dry-run)"
            )
        else:
            print(
                f"{_prune(connection, before)} task(s) that succeeded, or were cancelled, before {since} were deleted"
            )
    except (DatabaseError, InterfaceError) as error:
        raise Refusal(Exit.DATABASE, f"the journal cannot be used: {error}") from None
    return Exit.CLEAN


def _prune(connection: Any, before: float) -> int:
    from django.db import transaction

    from django_ztask import upkeep

    pruned, batch = 0, BATCH
    try:
        while batch == BATCH:
            began = time.monotonic()
            with transaction.atomic(using=connection.alias):
                batch = upkeep.prune(connection, before, BATCH)
            pruned += batch
            time.sleep((time.monotonic() - began) * REST)
    except BaseException:
        print(f"{pruned} task(s) were deleted before this:")
        raise
    return pruned
