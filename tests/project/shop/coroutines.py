"""Async task functions of the test site. No `tasks` module: a node imports it when it first meets their names."""

import asyncio
import os
import sys
import threading
import time
from pathlib import Path

from asgiref.sync import SyncToAsync, async_to_sync, sync_to_async
from django.db import connection, transaction

from django_ztask import current_task
from django_ztask.decorators import task
from tests.project.shop.models import Order
from tests.project.shop.tasks import add, mark


@task()
async def aecho(value, seconds=0.0):
    await asyncio.sleep(seconds)
    return value


@task(retry_count=1, retry_after=0)
async def afail(text="no stock"):
    await asyncio.sleep(0)
    raise ValueError(text)


@task(retry_count=1, retry_after=0)
async def afail_once(number):
    if current_task().attempt == 1:
        raise ValueError(f"{number}: not yet")
    return number


@task(retry_count=0)
async def anasty(kind):
    """Ends as coroutines should not."""
    if kind == "cancelled":
        raise asyncio.CancelledError("by itself")
    if kind == "cancels itself":
        asyncio.current_task().cancel()
        await asyncio.sleep(30)
    if kind == "exit":
        sys.exit(3)
    if kind == "part exits":
        await sync_to_async(sys.exit)(4)
    if kind == "subtask exits":
        await asyncio.create_task(_exit())
    if kind == "group":
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(30))
            group.create_task(afail("in the group"))


async def _exit():
    sys.exit(5)


@task()
async def aorm(number):
    """Django's ORM in all its asynchronous ways."""
    made = await Order.objects.acreate(number=number)
    found = await Order.objects.aget(pk=made.pk)
    await sync_to_async(_two_in_a_transaction)(number)
    numbers = [order.number async for order in Order.objects.filter(number__gte=number).order_by("pk")]
    return [found.number, numbers, await Order.objects.filter(number=number).acount()]


def _two_in_a_transaction(number):
    with transaction.atomic():
        Order.objects.create(number=number + 1)
        Order.objects.create(number=number + 2)


@task()
async def awho():
    """In the coroutine, in a part, in a thread, in a task of asyncio's."""

    async def sub():
        return current_task().id

    found = [
        current_task().id,
        await sync_to_async(lambda: current_task().id)(),
        await asyncio.to_thread(lambda: current_task().id),
        await asyncio.create_task(sub()),
        await sync_to_async(lambda: async_to_sync(sub)())(),
    ]
    return [len(set(found)), found[0], current_task().attempt]


@task()
async def atools(path):
    """What asyncio has."""
    found = await asyncio.gather(aecho("a", 0.02), aecho("b", 0.01))
    async with asyncio.TaskGroup() as group:
        third = group.create_task(aecho("c", 0.01))
    found.append(third.result())
    try:
        async with asyncio.timeout(0.01):
            await asyncio.sleep(30)
    except TimeoutError:
        found.append("timeout")
    found.append(await asyncio.wait_for(aecho("d"), 5))
    found.append(await asyncio.to_thread(lambda: time.sleep(0.01) or "thread"))
    found += await _talk()
    found.append(await _run_program(path))
    return found


async def _talk():
    """To a real server, in the same loop."""

    async def answer(reader, writer):
        writer.write((await reader.readline()).upper())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "localhost", 0)
    async with server:
        reader, writer = await asyncio.open_connection("localhost", server.sockets[0].getsockname()[1])
        writer.write(b"hello\n")
        answered = await reader.read()
        writer.close()
        await writer.wait_closed()
    return [answered.decode()]


async def _run_program(path):
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "import sys; print(sys.stdin.read()[::-1]); sys.exit(7)",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=path,
    )
    output, _ = await program.communicate(b"olleh")
    return [output.decode(), program.returncode]


@task()
async def aleave_transaction_open(way):
    def leave():
        transaction.set_autocommit(False)
        Order.objects.create(number=666)

    await (sync_to_async(leave)() if way == "part" else asyncio.to_thread(leave))


@task()
async def ain_atomic(way):
    def look():
        return [connection.in_atomic_block, connection.get_autocommit()]

    return await (sync_to_async(look)() if way == "part" else asyncio.to_thread(look))


@task()
async def aenqueue(number):
    handle = await add.aasync(number, 1)
    eager = await sync_to_async(add.async_)(number, 2)
    return [await sync_to_async(handle.result)(20), await sync_to_async(eager.result)(20)]


@task()
async def amark(word):
    await mark.aasync(word)


@task()
async def aspeak(language):
    from django.utils import translation

    if language:
        translation.activate(language)
    await asyncio.sleep(0.01)
    return translation.get_language()


@task()
async def asleeps_in_database(seconds):
    await sync_to_async(_pg_sleep)(seconds)
    return await Order.objects.acount()


def _pg_sleep(seconds):
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(%s)", [seconds])


@task()
async def alog(text):
    import logging

    logging.getLogger("shop").warning("%s", text)
    await sync_to_async(logging.getLogger("shop").warning)("%s from a part", text)


@task()
async def aresources():
    """Of the process: threads, open files; what asyncio and asgiref still hold; MiB."""
    await asyncio.sleep(0)
    held = len(asyncio.all_tasks()) + len(SyncToAsync.context_to_thread_executor)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return [threading.active_count(), len(os.listdir("/proc/self/fd")), held, pages // 256]
