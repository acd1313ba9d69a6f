"""What the benchmark's tasks do: each leaves a line of evidence when it starts, outside the journal."""

import time

from django_ztask.decorators import task
from tests.bench.compute import burn
from tests.bench.evidence import write


@task()
def noop(number):
    write("starts", number)


@task()
def nap(number, seconds):
    write("starts", number)
    time.sleep(seconds)
    write("ends", number)


@task(pool="process")
def compute(number, rounds):
    write("starts", number)
    burn(rounds)
    write("ends", number)


@task(pool="process")
def noop_in_child(number):
    write("starts", number)


@task()
def nothing():
    """Of which nothing but ztaskd's own work is left."""
