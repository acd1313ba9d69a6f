"""This node's row in the table of nodes, and its lease: how long it counts as alive without a sign."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass
from typing import Any

from django_ztask import __version__, rows


@dataclass(frozen=True, slots=True)
class Lease:
    """One boot of one node. Its verbs run in the committer's thread."""

    boot: str
    name: str
    url: str
    seconds: float

    def register(self, connection: Any) -> None:
        now = time.time()
        values = [
            self.boot,
            self.name,
            socket.gethostname(),
            os.getpid(),
            self.url,
            __version__,
            rows.stamp(connection, now),
            now + self.seconds,
        ]
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO django_ztask_node (boot, name, host, pid, url, version, started, lease) "
                "VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
                values,
            )

    def renew(self, connection: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE django_ztask_node SET lease = %s WHERE boot = %s",
                [time.time() + self.seconds, self.boot],
            )

    def remove(self, connection: Any) -> None:
        remove(connection, self.boot)


def remove(connection: Any, boot: str) -> None:
    """A boot that is gone needs no row."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_ztask_node WHERE boot = %s", [boot])
