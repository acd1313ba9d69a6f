"""Where the time of one task goes: each step alone, in a loop, with warm caches. `python -m tests.bench.steps`
prints {step: microseconds}, and is a process of its own because it is patched by gevent as the daemon is.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402
import logging  # noqa: E402
import os  # noqa: E402
import statistics  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import django  # noqa: E402

django.setup()

from django.conf import settings  # noqa: E402
from django.db import connection  # noqa: E402

from django_ztask import execute, ids, journal, message, serialize  # noqa: E402
from django_ztask.conf import keys  # noqa: E402
from django_ztask.execute import CurrentTask  # noqa: E402
from django_ztask.lifecycle import Kind, Outcome  # noqa: E402
from django_ztask.message import Names  # noqa: E402
from django_ztask.models import Task  # noqa: E402
from django_ztask.rows import Claimed  # noqa: E402
from tests.bench.tasks import nothing  # noqa: E402
from ztaskd import attempt, cleaning, logs, output  # noqa: E402
from ztaskd.inbox import BATCH  # noqa: E402
from ztaskd.storage import storage_for  # noqa: E402
from ztaskd.surroundings import Surroundings  # noqa: E402

ROUNDS, LOOPS, BOOT = 5, 2000, "boot"


def each(step: Callable[[], object], loops: int = LOOPS, share: int = 1) -> float:
    """Microseconds of one `step`, or of the `share`-th part of it."""
    taken = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(loops):
            step()
        taken.append((time.perf_counter() - began) / loops / share * 1e6)
    return statistics.median(taken)


def caller() -> dict[str, float]:
    key = keys("row")[0]
    payload = serialize.dump_call((1,), {})
    task_id = ids.new()[0][0]
    names = Names([task_id])
    return {
        "caller: an id": each(ids.new),
        "caller: arguments to text": each(lambda: serialize.dump_call((1,), {})),
        "caller: MAC of the row": each(lambda: serialize.mac(task_id, nothing.name, payload, key)),
        "caller: the message": each(lambda: message.encode(names, key)),
        "caller: the whole call in a transaction": in_transaction(),
    }


def in_transaction() -> float:
    from django.db import transaction

    with transaction.atomic():
        return each(nothing.async_)


def journal_of(size: int) -> dict[str, float]:
    """A claim and an end, each with its transaction, in batches of `size`."""
    storage = storage_for("default")
    claiming, ending = [], []
    for _ in range(ROUNDS):
        named = [handle.id for handle in nothing.map([()] * BATCH)]
        connection.close()  # the storage prepares its own
        batches = [named[first : first + size] for first in range(0, BATCH, size)]
        began = time.perf_counter()
        claimed = [claim(storage, batch) for batch in batches]
        middle = time.perf_counter()
        for tasks in claimed:
            finish(storage, tasks)
        claiming.append((middle - began) / BATCH * 1e6)
        ending.append((time.perf_counter() - middle) / BATCH * 1e6)
    of = "alone" if size == 1 else f"of {size} together"
    return {
        f"journal: claim, {of}": statistics.median(claiming),
        f"journal: end, {of}": statistics.median(ending),
    }


def claim(storage: Any, batch: list[str]) -> list[Claimed]:
    with storage.batch(False) as connection:
        return journal.claim(connection, BOOT, batch, time.time())


def finish(storage: Any, tasks: list[Claimed]) -> None:
    ends = [attempt.conclude(task, Outcome(Kind.SUCCESS), time.time()) for task in tasks]
    with storage.batch(False) as connection:
        if journal.finish(connection, BOOT, ends):
            raise AssertionError("somebody else has them")


def daemon() -> dict[str, float]:
    handle = nothing.async_()
    connection.close()
    (task,) = claim(storage_for("default"), [handle.id])
    current = CurrentTask(task.id, task.function_name, task.attempt, task.retries_left)
    surroundings = Surroundings()
    surroundings.begin(task)
    end = attempt.conclude(task, Outcome(Kind.SUCCESS), time.time())
    frames = message.encode(Names([task.id]), keys("message")[0])
    return {
        "hub: a message read": each(lambda: message.decode(frames, keys("message"))),
        "hub: MAC, arguments, call": each(lambda: execute.run(current, task.payload, task.mac)),
        "hub: surroundings": each(lambda: (surroundings.begin(task), surroundings.end(task))),
        "hub: connections left clean": each(cleaning.clean_connections),
        "hub: verdict": each(lambda: attempt.conclude(task, Outcome(Kind.SUCCESS), 1.0)),
        "hub: its line in the log": each(lambda: logs.write("task_ended", {"finish": end, "seconds": 0.0})),
    }


def main() -> None:
    told = os.fdopen(os.dup(1), "w")  # (a log file takes 1 and 2 over)
    handler = output.open_log(str(Path(settings.DATABASES["default"]["NAME"]).with_name("steps.log")))
    logs.configure(handler, logging.INFO)
    connection.ensure_connection()
    figures = {**caller(), **journal_of(1), **journal_of(BATCH), **daemon()}
    Task.objects.all().delete()
    print(json.dumps(figures), file=told, flush=True)


if __name__ == "__main__":
    main()
