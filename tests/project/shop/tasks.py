"""Task functions of the test site. Each leaves a line in the ledger, a file outside the journal."""

import os
import sys
import time

from django.db import connection, transaction

from django_ztask import current_task
from django_ztask.decorators import task
from tests.project.shop.models import Order


def note(*words: object) -> None:
    """One line, in one write, so that a kill -9 cannot tear it."""
    fd = os.open(os.environ["SHOP_LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, (" ".join(map(str, words)) + "\n").encode())
    os.close(fd)


@task()
def mark(word, seconds=0.0):
    now = time.time()
    if seconds:
        time.sleep(seconds)
    note("mark", word, now)
    return word


@task
def add(a, b=0):
    return a + b


@task(retry_count=1, retry_after=0.05)
def fail(text="no stock"):
    note("fail", text)
    raise ValueError(text)


@task(retry_count=0)
def fail_unless(path):
    if not os.path.exists(path):
        raise FileNotFoundError(path)
    note("found", path, current_task().attempt)


@task()
def order(number):
    Order.objects.create(number=number)


@task(timeout=0.2, retry_count=0)
def slow(seconds):
    time.sleep(seconds)


@task()
def enqueue_more(count):
    for n in range(count):
        mark.async_(f"child-{n}")


@task()
def leave_transaction_open():
    transaction.set_autocommit(False)
    Order.objects.create(number=666)


@task()
def in_atomic():
    return connection.in_atomic_block


@task()
def say(text):
    print(text)
    print(text, file=sys.stderr)


class Nasty(Exception):
    def __str__(self):
        raise RuntimeError("even its text")


@task(retry_count=0)
def nasty(kind):
    import gevent

    raise {
        "exit": SystemExit(3),
        "greenlet-exit": gevent.GreenletExit("out"),
        "keyboard": KeyboardInterrupt(),
        "str": Nasty(),
        "nul": ValueError("a\0b"),
        "surrogate": ValueError("a\ud800b"),
        "huge": ValueError("x" * 1_000_000),
    }[kind]


@task()
def unpicklable():
    return lambda: None


@task()
def who():
    current = current_task()
    return [current.id, current.function_name, current.attempt]
