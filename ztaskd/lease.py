"""This node's row in the table of nodes, and its lease: how long it counts as alive without a sign."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass
from typing import Any

from django_ztask import __version__, rows, sql


@dataclass(frozen=True, slots=True)
class Lease:
    """One boot of one node. Its verbs run in the committer's thread."""

    boot: str
    name: str
    url: str
    seconds: float

    def register(self, connection: Any) -> None:
        values = [
            self.boot,
            self.name,
            socket.gethostname(),
            os.getpid(),
            self.url,
            __version__,
            rows.stamp(connection, time.time()),
            self.seconds,
        ]
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO django_ztask_node (boot, name, host, pid, url, version, started, lease) "
                f"VALUES (%s, %s, %s, %s, %s, %s, %s, {sql.of(connection).NOW} + %s) "
                "ON CONFLICT (boot) DO UPDATE SET lease = excluded.lease",
                values,
            )

    def renew(self, connection: Any) -> bool:
        """False when the row was gone: another node took us for dead. It is made again."""
        with connection.cursor() as cursor:
            cursor.execute(
                f"UPDATE django_ztask_node SET lease = {sql.of(connection).NOW} + %s WHERE boot = %s",
                [self.seconds, self.boot],
            )
            renewed = bool(cursor.rowcount)
        if not renewed:
            self.register(connection)
        return renewed

    def touch(self, connection: Any) -> bool:
        """The smallest write that is one: SQLite leaves out what changes nothing. False: the row is gone."""
        with connection.cursor() as cursor:
            cursor.execute("UPDATE django_ztask_node SET lease = lease + 0.001 WHERE boot = %s", [self.boot])
            return bool(cursor.rowcount)

    def remove(self, connection: Any) -> None:
        remove(connection, self.boot)


def remove(connection: Any, boot: str) -> None:
    """A boot that is gone needs no row."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_ztask_node WHERE boot = %s", [boot])
