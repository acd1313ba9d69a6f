"""A caller's process: plain Django, no gevent. Reads an order a line (JSON), answers each with a line (JSON).

An order: {"way", "first", "count", "threads", "rate", ...}, see ways.py. "rate": calls a second of each thread, 0:
flat out. "seconds_long": calls until so many seconds are over, "until": [file, lines] until the evidence has so many.
Each thread makes at least one. The answer has [begin, end, value, number] of each call that returned, in the order of
the numbers, and the errors.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import django


class Thread(threading.Thread):
    """One that calls `numbers`, one after the other."""

    def __init__(self, order: dict[str, Any], numbers: range, barrier: threading.Barrier) -> None:
        super().__init__()
        self.order = order
        self.numbers = numbers
        self.barrier = barrier
        self.calls: list[tuple[int, int, Any, int]] = []
        self.errors: list[str] = []

    def run(self) -> None:
        from django.db import connections

        from tests.bench.ways import WAYS

        try:
            call = WAYS[self.order["way"]](self.order, self.numbers)
        except BaseException:
            self.barrier.abort()
            raise
        self.barrier.wait()
        self._all(call)
        if threading.current_thread() is self:
            connections.close_all()

    def _all(self, call: Callable[[int], Any]) -> None:
        now, began, rate = time.monotonic_ns, time.monotonic_ns(), self.order.get("rate", 0)
        over = _over(self.order)
        for index, number in enumerate(self.numbers):
            if rate:
                pause = began + int(index * 1e9 / rate) - now()
                time.sleep(max(pause, 0) / 1e9)
            elif index and over():
                break
            begin = now()
            try:
                value = call(number)
            except Exception as error:
                self.errors.append(f"{type(error).__name__}: {error}")
            else:
                self.calls.append((begin, now(), value if isinstance(value, int) else None, number))


def _over(order: dict[str, Any]) -> Callable[[], bool]:
    if "seconds_long" in order:
        deadline = time.monotonic() + order["seconds_long"]
        return lambda: time.monotonic() >= deadline
    if "until" in order:
        path, size = order["until"]
        return lambda: os.path.getsize(path) >= size
    return lambda: False


def obey(order: dict[str, Any]) -> dict[str, Any]:
    count, threads = order["count"], order.get("threads", 1)
    share, rest = divmod(count, threads)
    first, barrier, running = order["first"], threading.Barrier(threads), []
    for number in range(threads):
        until = first + share + (number < rest)
        running.append(Thread(order, range(first, until), barrier))
        first = until
    if threads == 1:
        running[0].run()  # a plain caller: the main thread
    else:
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
    return {
        "calls": [call for thread in running for call in thread.calls],
        "errors": [error for thread in running for error in thread.errors],
    }


def main() -> None:
    django.setup()
    from tests.bench import ways  # noqa: F401 - the first call must not import

    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        print(json.dumps(obey(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
