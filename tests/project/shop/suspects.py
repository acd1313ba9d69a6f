"""Task functions for tests of crashes. Each says when it begins."""

import ctypes
import os
import time
from pathlib import Path

from django_ztask import current_task
from django_ztask.decorators import task
from tests.project.shop.tasks import note


def begin():
    note("began", current_task().id)


def wait_for(gate):
    while not os.path.exists(gate):
        time.sleep(0.05)


@task()
def innocent(word, gate):
    """Ends once there is a file at `gate`."""
    begin()
    wait_for(gate)
    note("mark", word, time.time())


@task()
def guilty(how, gate):
    """Takes its process along."""
    begin()
    wait_for(gate)
    if how == "segfault":
        ctypes.string_at(0)
    os._exit(7)


@task(retry_after=0)
def fails_in_child(gate):
    """The process in which it succeeds."""
    begin()
    wait_for(gate)
    if Path("/proc/self/comm").read_text().startswith("suspect-"):
        raise ValueError("not here")
    return os.getpid()


@task()
def endless(seconds):
    """Takes no limit for an answer."""
    begin()
    while True:
        try:
            time.sleep(seconds)
        except BaseException:
            note("swallowed")
