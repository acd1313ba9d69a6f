"""Async task functions that are struck by limits, block the loop, or leave something behind."""

import asyncio
import sys
import time

from asgiref.sync import sync_to_async
from django.db import transaction

from django_ztask import current_task
from django_ztask.decorators import task
from tests.project.shop.models import Order
from tests.project.shop.tasks import note

left: list[asyncio.Task[object]] = []


@task(timeout=0.2, retry_count=0)
async def aslow(seconds):
    await asyncio.sleep(seconds)


@task(timeout=0.2, retry_count=0)
async def aslow_part(seconds):
    """The limit comes while it is in a transaction."""
    await sync_to_async(_order_slowly)(seconds)


def _order_slowly(seconds):
    with transaction.atomic():
        Order.objects.create(number=999)
        time.sleep(seconds)


@task(timeout=0.2, retry_count=0)
async def aswallow():
    try:
        await asyncio.sleep(30)
    except asyncio.CancelledError:
        return "swallowed"


@task(timeout=0.2, retry_count=0)
async def aconvert():
    try:
        await asyncio.sleep(30)
    except asyncio.CancelledError:
        raise ValueError("converted") from None


@task(timeout=0.2, retry_count=0)
async def acleans(seconds, word="cleaned"):
    """Its clean-up waits, too."""
    note("began", current_task().id)
    try:
        await asyncio.sleep(seconds)
    finally:
        await asyncio.sleep(0.1)
        await Order.objects.acreate(number=7)
        note(word, current_task().id, type(sys.exception()).__name__)


@task()
async def aleave():
    """What it has started goes on when it returns."""

    async def stay():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0.01)
            note("left", "cancelled")
            raise

    left.append(asyncio.create_task(stay()))
    left.append(asyncio.create_task(asyncio.to_thread(_end_late)))
    await asyncio.sleep(0.01)
    return "left"


def _end_late():
    time.sleep(0.1)
    note("left", "thread")


@task(retry_count=0)
async def aspin(seconds):
    """Never yields."""
    note("began", current_task().id)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        pass


@task()
async def ablock(seconds):
    """Keeps the loop to itself, and waits."""
    note("began", current_task().id)
    time.sleep(seconds)
