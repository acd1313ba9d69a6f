"""What dead boots held comes back: the lock decides on this host, the lease for another's."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection

from django_ztask.models import Node
from tests.integration.helpers import claim_new, race, status
from ztaskd.lease import Lease, remove
from ztaskd.locks import LockFile, folder_for
from ztaskd.recover import boot_lock, recover_dead

pytestmark = pytest.mark.both_databases

HERE = socket.gethostname()
OWN = "own-boot"


@pytest.fixture
def folder(database: Path) -> Path:
    return folder_for(connection)


@pytest.fixture
def living(folder: Path) -> Iterator[str]:
    """A boot whose lock is held, though its lease ran out."""
    lock = LockFile(boot_lock(folder, "living"))
    assert lock.acquire("a node")
    add_node("living", HERE, -100)
    yield "living"
    lock.release()


def add_node(boot: str, host: str, lease: float) -> None:
    Lease(boot, "web", "tcp://127.0.0.1:1", 15).register(connection)
    Node.objects.filter(boot=boot).update(host=host, lease=time.time() + lease)


def test_a_boot_on_this_host_whose_lock_is_free_is_dead_whatever_its_lease(folder: Path) -> None:
    add_node("dead", HERE, +1000)
    boot_lock(folder, "dead").touch()
    task = claim_new(boot="dead")
    assert recover_dead(connection, folder, OWN).queued == [task.id]
    assert status(task.id) == "QUEUED"
    assert not Node.objects.exists()


def test_a_boot_whose_lock_is_held_is_alive_whatever_its_lease(folder: Path, living: str) -> None:
    task = claim_new(boot=living)
    assert recover_dead(connection, folder, OWN).queued == []
    assert status(task.id) == "RUNNING"
    assert Node.objects.filter(boot=living).exists()
    assert boot_lock(folder, living).exists()


def test_ones_own_rows_are_left_alone(folder: Path) -> None:
    add_node(OWN, HERE, +10)
    task = claim_new(boot=OWN)
    assert recover_dead(connection, folder, OWN).queued == []
    assert status(task.id) == "RUNNING"


@pytest.mark.parametrize("host", ["another-host", HERE])
@pytest.mark.parametrize(("lease", "dead"), [(+100, False), (-100, True)])
def test_of_a_boot_whose_lock_is_not_here_only_the_lease_tells(
    lease: float, dead: bool, host: str, folder: Path
) -> None:
    add_node("far", host, lease)
    task = claim_new(boot="far")
    assert recover_dead(connection, folder, OWN).queued == ([task.id] if dead else [])
    assert status(task.id) == ("QUEUED" if dead else "RUNNING")
    assert Node.objects.exists() is not dead


def test_rows_of_a_boot_that_no_table_knows_are_recovered(folder: Path) -> None:
    task = claim_new(boot="forgotten")
    assert recover_dead(connection, folder, OWN).queued == [task.id]


def test_a_dead_boot_that_held_nothing_is_forgotten(folder: Path) -> None:
    add_node("dead", HERE, +10)
    boot_lock(folder, "dead").touch()
    assert recover_dead(connection, folder, OWN).queued == []
    assert not Node.objects.exists()


def test_of_two_nodes_that_recover_the_same_boot_each_row_goes_to_one(folder: Path) -> None:
    add_node("dead", HERE, -100)
    dead = {claim_new(boot="dead").id for _ in range(20)}
    first, second = race(
        lambda own: recover_dead(own, folder, "one"), lambda own: recover_dead(own, folder, "two")
    )
    assert len(first.queued) + len(second.queued) == 20
    assert set(first.queued) | set(second.queued) == dead


def test_a_lease_is_registered_renewed_and_removed() -> None:
    lease = Lease("boot", "web", "ipc:///x", 15)
    before = time.time()
    lease.register(connection)
    node = Node.objects.get()
    assert (node.boot, node.name, node.host, node.url) == ("boot", "web", HERE, "ipc:///x")
    # (SQLite tells its clock in milliseconds)
    assert before + 14.998 <= node.lease <= time.time() + 15.002
    Node.objects.update(lease=0.0)
    assert lease.renew(connection)
    assert Node.objects.get().lease >= before + 14.998
    lease.remove(connection)
    assert not lease.renew(connection), "taken for dead: it says so, and is there again"
    assert Node.objects.get().lease >= before + 14.998
    lease.remove(connection)
    remove(connection, "boot")
    assert not Node.objects.exists()


def test_touching_the_nodes_row_really_writes(database: Path) -> None:
    """SQLite leaves out an UPDATE that changes nothing: then there is nothing to sync."""
    lease = Lease("boot", "web", "ipc:///x", 15)
    assert not lease.touch(connection)
    lease.register(connection)
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = written(database)
    assert lease.touch(connection)
    assert written(database) > before


def written(database: Path) -> int:
    """How much went into the log that a commit syncs, in bytes."""
    if connection.vendor == "sqlite":
        return database.with_name(database.name + "-wal").stat().st_size
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_wal_insert_lsn() - '0/0'")
        return int(cursor.fetchone()[0])
