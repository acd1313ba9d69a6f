"""Task functions that make trouble. No `tasks` module: a node imports it when it first meets their names."""

import asyncio
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from django.db import connection, transaction

from django_ztask import current_task
from django_ztask.decorators import task
from django_ztask.errors import TaskInterrupted
from tests.project.shop.models import Order
from tests.project.shop.tasks import mark, note


@task()
def leave_transaction_open():
    transaction.set_autocommit(False)
    Order.objects.create(number=666)


@task()
def leave_atomic_open():
    transaction.atomic().__enter__()
    Order.objects.create(number=666)


@task()
def leave_connection_closed():
    connection.ensure_connection()
    connection.connection.close()


class Nasty(Exception):
    def __str__(self):
        raise RuntimeError("even its text")


class NastyExit(Exception):
    def __str__(self):
        raise SystemExit(4)


class NastyType(Exception):
    def __str__(self):
        return 42


@task(retry_count=0)
def nasty(kind):
    import gevent

    if kind == "recursion":
        nasty(kind)
    raise {
        "exit": SystemExit(3),
        "greenlet-exit": gevent.GreenletExit("out"),
        "keyboard": KeyboardInterrupt(),
        "generator": GeneratorExit(),
        "gevent-timeout": gevent.Timeout(1),
        "interrupted": TaskInterrupted("by itself"),
        "group": BaseExceptionGroup("two", [SystemExit(5), ValueError("six")]),
        "str": Nasty(),
        "str-exit": NastyExit(),
        "str-type": NastyType(),
        "nul": ValueError("a\0b"),
        "surrogate": ValueError("a\ud800b"),
        "huge": ValueError("x" * 1_000_000),
    }[kind]


@task()
def unpicklable():
    return lambda: None


@task()
def touchy(text):
    raise ValueError(text)


@task(retry_after=0.05)
def at_second_attempt():
    attempt = current_task().attempt
    if attempt == 1:
        raise ValueError("not yet")
    return attempt


class Poison:
    """Pickles, and does not come back."""

    def __reduce__(self):
        return sys.exit, (3,)


class BreaksPickle:
    def __reduce__(self):
        raise KeyboardInterrupt


@task()
def returns_poison():
    return BreaksPickle()


@task()
def stubborn(seconds):
    """Takes no interruption for an answer."""
    note("began", current_task().id)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            time.sleep(seconds)
        except BaseException:
            note("swallowed")


@task()
def hog(seconds):
    """Never lets the hub turn."""
    note("began", current_task().id)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        pass


def bad_on_load():
    raise RuntimeError("not today")


@task()
def enqueue_from(way, count):
    """Enqueues `mark` from some other place than the slot's own line of execution."""

    def work():
        for n in range(count):
            mark.async_(f"{way}-{n}")

    async def coroutine():
        for n in range(count):
            await mark.aasync(f"{way}-{n}")

    if way == "thread":
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    elif way == "native-thread":
        import gevent

        gevent.get_hub().threadpool.apply(work)
    elif way == "coroutine":
        asyncio.run(coroutine())
    else:
        with transaction.atomic():
            if way == "savepoint":
                with suppress(ZeroDivisionError), transaction.atomic():
                    mark.async_("rolled-back")
                    raise ZeroDivisionError
            work()


@task(retry_count=0)
def runs_event_loop(number, seconds):
    async def main():
        await asyncio.sleep(seconds)
        await Order.objects.acreate(number=number)
        return number

    return asyncio.run(main())


@task(retry_count=0)
def forks(way):
    if way == "multiprocessing":
        import multiprocessing

        process = multiprocessing.get_context("fork").Process(target=note, args=["child", way])
        process.start()
        process.join()
        return process.exitcode
    pid = os.fork()
    if not pid:
        note("child", way)
        os._exit(0)
    return os.waitpid(pid, 0)[1]


@task(retry_count=0)
def forks_one_that_stays(number=None):
    """Its process id. With `number`, that signal ends it: how it ended."""
    from gevent import monkey

    reads, writes = os.pipe()
    pid = os.fork()
    if not pid:
        os.write(writes, b"x")
        monkey.get_original("time", "sleep")(60)
        os._exit(0)
    os.read(reads, 1)
    os.close(reads)
    os.close(writes)
    if number is None:
        return pid
    os.kill(pid, number)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@task()
def leaves_program():
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]).pid


@task()
def wait_in_a_pool(seconds):
    with ThreadPoolExecutor() as pool:
        pool.submit(time.sleep, seconds).result()


@task()
def gated(word, gate):
    """Ends once there is a file at `gate`."""
    while not os.path.exists(gate):
        time.sleep(0.01)
    note("mark", word, time.time())


@task()
def hoard(gate):
    """Opens files until there are no more to be had, takes each that becomes free, and keeps them until there
    is a file at `gate`."""
    taken = []
    while not os.path.exists(gate):
        try:
            taken.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            time.sleep(0.005)
    for fd in taken:
        os.close(fd)
    return len(taken)
