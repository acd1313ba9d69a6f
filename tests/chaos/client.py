"""A client process: enqueues its share of the plan, and writes down what it was told. It may be killed; the
next one of its number goes on with the tokens that were not yet invoked.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import threading
import time
from pathlib import Path
from typing import Any

import django

django.setup()

from django.db import Error, connection, transaction  # noqa: E402

from tests.chaos import ledger, plan, tasks  # noqa: E402
from tests.chaos.plan import Item, Operation  # noqa: E402

# Seconds between two looks at the pace, and between two attempts at a database that is away.
PAUSE, AFTER_ERROR = 0.005, 0.02


class RolledBack(Exception):
    """Raised to undo a transaction on purpose."""


class Allowance:
    """How many accepted tasks each thread may be at: the harness raises it while the daemon works."""

    def __init__(self, path: str) -> None:
        with open(path, "rb") as file:
            self._memory = mmap.mmap(file.fileno(), 8, prot=mmap.PROT_READ)

    def wait(self, accepted: int) -> None:
        while struct.unpack("<q", self._memory[:8])[0] <= accepted:
            time.sleep(PAUSE)


class Client:
    """Several threads, one ledger."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.order = order
        self.ledger = ledger.Ledger(order["ledger"])
        self.before = ledger.calls(map(Path, order["before"]))
        self.allowance = Allowance(order["pace"])

    def run(self) -> None:
        threads = [threading.Thread(target=self.work, args=[n]) for n in range(len(self.order["tasks"]))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def work(self, thread: int) -> None:
        number = self.order["client"]
        prefix = f"{number}-{thread}-"
        accepted = sum(token.startswith(prefix) for token in self.before.told)
        count, children = self.order["tasks"][thread], self.order["children"]
        for whole in plan.operations(self.order["seed"], number, thread, count, children):
            items = tuple(item for item in whole.items if item.token not in self.before.invoked)
            if items:
                self.allowance.wait(accepted)
                accepted += self.perform(Operation(whole.kind, items, whole.after, whole.rollback))
        connection.close()

    def perform(self, operation: Operation) -> int:
        """One operation with its lines. Returns how many tasks were accepted."""
        tokens = [item.token for item in operation.items]
        self.ledger.write([f"I {token}" for token in tokens])
        try:
            handles = self.call(operation)
        except RolledBack:
            return 0
        except Error as error:
            self.ledger.write([f"E {token} {type(error).__name__}" for token in tokens])
            _wait_for_database()
            return 0
        self.ledger.write([f"O {token} {handle.id}" for token, handle in zip(tokens, handles, strict=True)])
        return len(tokens)

    def call(self, operation: Operation) -> list[Any]:
        items = operation.items
        if operation.kind == "map":
            return _function(items[0]).map([(item.token, item.ms) for item in items])
        if operation.kind == "after":
            return [_function(item).after(operation.after, item.token, item.ms) for item in items]
        if operation.kind == "call":
            return [_function(item).async_(item.token, item.ms) for item in items]
        with transaction.atomic():
            handles = [_function(item).async_(item.token, item.ms) for item in items]
            if operation.rollback:
                # Before the rollback: from here on nothing can commit it, whatever happens to this process.
                self.ledger.write([f"R {item.token}" for item in items])
                raise RolledBack
        return handles


def _wait_for_database() -> None:
    """A call that is refused is over; what follows it is called when the database is there again."""
    while True:
        try:
            connection.close()
            connection.ensure_connection()
            return
        except Error:
            time.sleep(AFTER_ERROR)


def _function(item: Item) -> Any:
    function = getattr(tasks, item.function)
    return function.using(pool="process") if item.in_child else function


if __name__ == "__main__":
    if "CHAOS_LIE" in os.environ:
        from tests.chaos import lies  # noqa: F401 - tells its lie when imported
    Client(json.loads(os.environ["CHAOS_ORDER"])).run()
