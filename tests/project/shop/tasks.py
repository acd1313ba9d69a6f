"""Task functions of the test site. Each leaves a line in the ledger, a file outside the journal."""

import logging
import os
import subprocess
import sys
import threading
import time

from django.db import connection, transaction
from django.utils import translation

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
def pg_sleep(seconds):
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(%s)", [seconds])


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
def in_atomic():
    return [connection.in_atomic_block, connection.get_autocommit()]


@task()
def say(text):
    print(text)
    print(text, file=sys.stderr)


@task()
def who():
    current = current_task()
    return [current.id, current.function_name, current.attempt]


@task()
def echo(value):
    return value


@task()
def pid():
    return os.getpid()


@task()
def speak(language):
    if language:
        translation.activate(language)
    return translation.get_language()


@task()
def ticks(count, pause):
    for _ in range(count):
        note("tick", time.time())
        time.sleep(pause)


@task()
def order_slowly(number, seconds):
    with transaction.atomic():
        Order.objects.create(number=number)
        time.sleep(seconds)


@task()
def shout(text):
    subprocess.run([sys.executable, "-c", f"print({text!r})"], check=True, timeout=30)


@task()
def chain(generations):
    """Seconds until the last of its descendants has run."""
    began = time.monotonic()
    if generations:
        chain.async_(generations - 1).result(20)
    return time.monotonic() - began


def when_loaded():
    mark.async_("on-load")


class Loading:
    def __init__(self):
        if os.path.exists(os.environ["SHOP_LEDGER"] + ".broken"):
            raise RuntimeError("it is being mended")


class Loaded:
    def __init__(self):
        note("loaded", os.getpid())


@task(retry_after=0.05)
def long(seconds, first=False, fails=False):
    """With `first`, only the first attempt takes its time."""
    current = current_task()
    note("began", current.id)
    try:
        if not first or current.attempt == 1:
            time.sleep(seconds)
    except BaseException as error:
        note("cleaned", current.id, type(error).__name__)
        raise
    if fails:
        raise ValueError("after all")


@task()
def environment():
    return dict(os.environ)


@task()
def log(text):
    logging.getLogger("shop").warning("%s", text)


@task(retry_count=1, retry_after=0)
def fail_once(number):
    if current_task().attempt == 1:
        raise ValueError(f"{number}: not yet")
    return number


@task()
def count_orders(seconds):
    """Keeps its connection for a while."""
    count = Order.objects.count()
    time.sleep(seconds)
    return count


@task()
def exits():
    os._exit(7)


@task()
def close_many():
    os.closerange(3, 50)


@task()
def fork():
    """Two processes return from here."""
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)


@task()
def leave_behind(seconds):
    """Ends its process; one that it has forked goes on, with all its descriptors."""
    if os.fork() == 0:
        time.sleep(seconds)
    os._exit(7)


@task()
def leave_thread(seconds):
    threading.Thread(target=time.sleep, args=[seconds]).start()
    return os.getpid()


@task()
def grow(mib):
    grown.append(b"x" * (mib * 2**20))
    return os.getpid()


grown: list[bytes] = []
