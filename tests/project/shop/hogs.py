"""Task functions that do not let the daemon's hub turn, each in its own way."""

import asyncio
import atexit
import ctypes
import hashlib
import time

from gevent import monkey

from django_ztask import current_task, task
from tests.project.shop.tasks import note


@task(retry_count=0)
def compute(seconds):
    note("began", current_task().id)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


@task(retry_count=0)
def sleep_natively(seconds):
    note("began", current_task().id)
    monkey.get_original("time", "sleep")(seconds)


@task(retry_count=0)
def endless():
    note("began", current_task().id)
    while True:
        pass


@task(retry_count=0)
def swallow():
    """Goes on when it is interrupted, and ends at the second time."""
    note("began", current_task().id)
    try:
        while True:
            pass
    except TimeoutError:
        note("swallowed", current_task().id, time.time())
    while True:
        pass


@task(retry_count=0)
def hash_on(seconds):
    """In C code that no signal ends, and that lets other threads run. (Machines differ: it first finds out how fast
    this one is.)"""
    note("began", current_task().id)
    began, rounds = time.thread_time(), 50_000
    hashlib.pbkdf2_hmac("sha512", b"x", b"y", rounds)
    hashlib.pbkdf2_hmac("sha512", b"x", b"y", round(rounds * seconds / (time.thread_time() - began)))


@task(retry_count=0)
def hold_lock(seconds):
    """In C code that lets no other Python thread run."""
    note("began", current_task().id)
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))


@task(retry_count=0)
def hang_first(how):
    """Blocks the daemon for a minute, at its first attempt."""
    if current_task().attempt == 1:
        {"python": compute, "c": hash_on, "lock": hold_lock}[how].function(60)
    note("survived", current_task().id)


@task(retry_count=0)
async def compute_in_a_coroutine(seconds):
    await asyncio.sleep(0.01)
    compute.function(seconds)


@task(retry_count=0)
async def endless_in_a_coroutine():
    await asyncio.sleep(0.01)
    endless.function()


@task(retry_count=0)
async def wait_in_a_coroutine(seconds):
    note("began", current_task().id)
    await asyncio.gather(asyncio.sleep(seconds))


@task(retry_count=0)
async def hog_beside(seconds):
    """What it has started blocks the loop for longer than the limit; it itself only waits."""
    beside = asyncio.create_task(compute_in_a_coroutine.function(seconds))
    await asyncio.sleep(60)
    await beside


@task(retry_count=0)
async def compute_in_a_thread(seconds):
    await asyncio.to_thread(compute.function, seconds)


def leave_slowly():
    """At the exit of the process: seconds in C code, first without and then with the interpreter's lock."""

    def leave():
        monkey.get_original("time", "sleep")(1.5)
        ctypes.PyDLL(None).usleep(3_500_000)
        note("left")

    atexit.register(leave)
