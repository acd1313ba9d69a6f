"""The task functions of the chaos runs. Each execution leaves its lines in a ledger outside the journal."""

import functools
import os
import time

from django_ztask import current_task
from django_ztask.decorators import task
from tests.chaos.ledger import Ledger


@functools.cache
def ledger():
    """A file for each process: where one is killed, a line may be torn."""
    return Ledger(f"{os.environ['CHAOS_LEDGER']}.{os.getpid()}")


def starts(token):
    """Writes down that this execution starts. Returns its task."""
    current = current_task()
    boot = os.environ["CHAOS_BOOT"]
    ledger().write(
        [f"S {token} {current.id} {current.attempt} {boot} {time.time():.6f} {time.monotonic_ns()}"]
    )
    return current


def ends(token, current):
    ledger().write([f"F {token} {current.id} {current.attempt} {time.time():.6f} {time.monotonic_ns()}"])


@task(retry_count=2)
def quick(token, ms):
    current = starts(token)
    if ms:
        time.sleep(ms / 1000)
    ends(token, current)


@task(retry_count=2, retry_after=0.05)
def flaky(token, ms):
    """Fails at its first attempt."""
    current = starts(token)
    if ms:
        time.sleep(ms / 1000)
    if current.attempt == 1:
        raise ValueError("not at the first attempt")
    ends(token, current)


@task(retry_count=1, retry_after=0.05)
def doomed(token, ms):
    """Always fails."""
    starts(token)
    if ms:
        time.sleep(ms / 1000)
    raise ValueError("never")
