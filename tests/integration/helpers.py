"""Rows, racers and scripts for the integration tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.db import connection, connections

from django_ztask import ids, journal, lifecycle, serialize
from django_ztask.conf import keys
from django_ztask.lifecycle import Kind, Outcome, RetryPolicy
from django_ztask.models import Task
from django_ztask.rows import Claimed, Finish, NewTask

ROOT = Path(__file__).resolve().parents[2]
ADD = "tests.project.shop.tasks.add"
BOOT, OTHER = "boot-1", "boot-2"


def new_task(
    *args: Any,
    function: str = ADD,
    due: float | None = None,
    created: float | None = None,
    priority: int = 0,
    retry_count: int = 2,
    policy: dict[str, float] | None = None,
    pool: str = "",
    queue: str = "default",
) -> NewTask:
    [(task_id, micros)] = ids.new()
    payload = serialize.dump_call(args, {})
    created = micros / 1e6 if created is None else created
    return NewTask(
        id=task_id,
        function_name=function,
        payload=payload,
        mac=serialize.mac(task_id, function, payload, keys("row")[0]),
        created=created,
        due=created if due is None else due,
        queue=queue,
        priority=priority,
        retry_count=retry_count,
        policy=policy or {},
        pool=pool,
    )


def record(*tasks: NewTask) -> list[str]:
    """Writes them; without any, one that is due. Returns the ids."""
    new = tasks or (new_task(1),)
    journal.record(connection, new)
    return [task.id for task in new]


def claim(*task_ids: str, boot: str = BOOT, now: float | None = None) -> list[Claimed]:
    return journal.claim(connection, boot, task_ids, later() if now is None else now)


def claim_new(boot: str = BOOT, **options: Any) -> Claimed:
    [claimed] = claim(*record(new_task(1, **options)), boot=boot)
    return claimed


def later() -> float:
    """A moment at which everything that was recorded as due now is due."""
    return time.time() + 1


def ending(task: Claimed, kind: Kind, **texts: Any) -> Finish:
    """The end of the claimed attempt, as a node with the test site's settings decides it."""
    policy = RetryPolicy(2, 0.1)
    verdict = lifecycle.decide(
        kind, retries_left=task.retries_left, policy=policy, due=task.due, now=time.time()
    )
    if kind is Kind.FAILURE:
        texts = {"exception": "ValueError: no stock", "traceback": "Traceback: no stock", **texts}
    started = None if kind in (Kind.REFUSED, Kind.UNKNOWN, Kind.NOT_STARTED) else time.time()
    return Finish(task, task.attempt, verdict, Outcome(kind, **texts), started, time.time())


def finish(task: Claimed, kind: Kind = Kind.SUCCESS, boot: str = BOOT, **texts: Any) -> list[Finish]:
    return journal.finish(connection, boot, [ending(task, kind, **texts)])


def failed(**options: Any) -> str:
    """The id of a row that has FAILED."""
    task = claim_new(**{"retry_count": 0, **options})
    assert finish(task, Kind.FAILURE) == []
    return task.id


def row(task_id: str) -> Task:
    return Task.objects.get(uuid=task_id)


def status(task_id: str) -> str:
    return row(task_id).status


def race(*racers: Callable[[Any], Any]) -> list[Any]:
    """Each in a thread with a connection of its own, all starting together; what each returned."""
    start = threading.Barrier(len(racers))
    results: list[Any] = [None] * len(racers)

    def run(n: int) -> None:
        own = connections["default"]
        own.ensure_connection()
        start.wait()
        try:
            results[n] = racers[n](own)
        except Exception as error:
            results[n] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(n,)) for n in range(len(racers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def forget_connections() -> None:
    """This thread's: it may live on, with another database for the next test."""
    for alias in list(connections):
        connections[alias].close()
        del connections[alias]


def environment(database: Path, **settings: Any) -> dict[str, str]:
    """For a process on this test's database."""
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.project.settings",
        "PYTHONPATH": str(ROOT),
        "SHOP_DATABASE": str(database),
        "SHOP_SETTINGS": json.dumps(settings),
    }


def run_script(code: str, database: Path, **settings: Any) -> str:
    """What a Python process on this test's database prints; it has Django set up. Fails if it fails."""
    head = "import django; django.setup()\nfrom tests.project.shop.tasks import *\n"
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", head + code],
        cwd=ROOT,
        env=environment(database, **settings),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout
