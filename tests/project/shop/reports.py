"""Task functions of the test site that say how far they are."""

import asyncio
import os
import signal
import threading
import time

from django_ztask import current_task
from django_ztask.decorators import task
from tests.project.shop.suspects import wait_for
from tests.project.shop.tasks import note


@task()
def counts(gate):
    """A loop that reports at each step; the last ones are reported after somebody has looked."""
    for n in range(5_000):
        current_task().progress(n, 10_000, "counting")
    current_task().progress(5_000, 10_000, "half")
    wait_for(gate)
    current_task().progress(10_000, 10_000, "done")
    note("counted", current_task().id)


@task()
async def acounts(gate):
    current_task().progress(1, 2, "half")
    while not os.path.exists(gate):
        await asyncio.sleep(0.01)
    current_task().progress(2, 2)


@task()
def counts_in_a_thread():
    thread = threading.Thread(target=current_task().progress, args=(3, 4, "in a thread"))
    thread.start()
    thread.join()


@task(retry_count=1, retry_after=0)
def fails_half_way():
    if current_task().attempt == 1:
        current_task().progress(7, text="the first time")
    raise ValueError("half way")


@task(retry_count=0)
def fails_after(done):
    current_task().progress(done, 10, "and then\x00\x1b\ud800")
    raise ValueError("half way")


@task()
def dies_after(done):
    """Only the first time."""
    if current_task().attempt == 1:
        current_task().progress(done, 10)
        os.kill(os.getpid(), signal.SIGKILL)


@task()
def says_what_is_none():
    for arguments in (("1",), (1, "2"), (-1,), (1, 2, 3), (float("nan"),), (True,)):
        try:
            current_task().progress(*arguments)
        except (TypeError, ValueError):
            continue
        raise AssertionError(arguments)
    return time.time() > 0
