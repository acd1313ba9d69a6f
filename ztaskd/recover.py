"""What dead nodes held goes back to the queue: found by who is not alive, never by elapsed time."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django_ztask import cancelling, crashpoints, journal, sql
from ztaskd import lease
from ztaskd.locks import is_held


def boot_lock(folder: Path, boot: str) -> Path:
    """The lock file that a boot holds until its process is gone."""
    return folder / f"boot-{boot}.lock"


@dataclass(slots=True)
class Recovered:
    """What became of rows that dead nodes held: ids, and for the failed and cancelled ones (id, task function)."""

    queued: list[str] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    cancelled: list[tuple[str, str]] = field(default_factory=list)
    boots: list[str] = field(default_factory=list)  # the dead: their lock files may go


def recover_dead(connection: Any, folder: Path, own_boot: str) -> Recovered:
    """Queues again, at no cost, what boots that are gone had claimed; at_most_once tasks that they had
    started are FAILED, and what was to end has ended."""
    recovered = Recovered()
    for boot in _known_boots(connection) | journal.holders(connection):
        if boot == own_boot or _is_alive(connection, folder, boot):
            continue
        recovered.cancelled += cancelling.settle(connection, boot, time.time())
        recovered.failed += journal.fail_interrupted(connection, boot, time.time())
        recovered.queued += journal.recover(connection, boot)
        crashpoints.reach("recover-uncommitted")
        lease.remove(connection, boot)
        recovered.boots.append(boot)
    return recovered


def _known_boots(connection: Any) -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT boot FROM django_ztask_node")
        return {row[0] for row in cursor.fetchall()}


def _is_alive(connection: Any, folder: Path, boot: str) -> bool:
    """Its lock decides, where we see it: held is alive, there and free is dead. A boot whose lock is not
    here (another host's, or another folder's) is judged by its lease."""
    lock = boot_lock(folder, boot)
    if lock.exists():
        return is_held(lock)
    with connection.cursor() as cursor:
        query = f"SELECT lease > {sql.of(connection).NOW} FROM django_ztask_node WHERE boot = %s"
        cursor.execute(query, [boot])
        row = cursor.fetchone()
    return row is not None and bool(row[0])
