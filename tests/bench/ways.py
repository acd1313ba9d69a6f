"""The ways in which a client enqueues: for each name, what makes one call of it. The raw ways are the limits.

A factory gets the order and the thread's numbers, opens what it needs, and returns `call(number)`. When the
order has a `size`, a call covers the numbers from `number * size` on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from django.db import transaction

import django_ztask
from tests.bench import raw, tasks

Order = dict[str, Any]
Call = Callable[[int], Any]


def span(order: Order, number: int) -> range:
    """The tasks of one call. `offset`: the number of the order's first one."""
    first = order.get("offset", 0) + number * order["size"]
    return range(first, first + order["size"])


def one(order: Order, numbers: range) -> Call:
    return tasks.noop.async_


def unconfirmed(order: Order, numbers: range) -> Call:
    return tasks.noop.using(confirm=False).async_


def flush(order: Order, numbers: range) -> Call:
    """What was unconfirmed is on disk."""
    return lambda number: django_ztask.flush()


def many(order: Order, numbers: range) -> Call:
    return lambda number: tasks.noop.map(span(order, number))


def naps(order: Order, numbers: range) -> Call:
    return lambda number: tasks.nap.map([(each, order["seconds"]) for each in span(order, number)])


def many_in_children(order: Order, numbers: range) -> Call:
    return lambda number: tasks.noop_in_child.map(span(order, number))


def computes(order: Order, numbers: range) -> Call:
    """So many `rounds` of pure Python each, in child processes."""
    return lambda number: tasks.compute.map([(each, order["rounds"]) for each in span(order, number)])


def later(order: Order, numbers: range) -> Call:
    """after(...) for each, in one transaction: they become due from `seconds` on, spread over `spread` seconds."""
    seconds, step = order["seconds"], order["spread"] / order["size"]

    def call(number: int) -> None:
        with transaction.atomic():
            for index, each in enumerate(span(order, number)):
                tasks.noop.after(seconds + index * step, each)

    return call


def atomic(order: Order, numbers: range) -> Call:
    """A transaction with `size` tasks. Returns when it was committed."""

    def call(number: int) -> int:
        committed: list[int] = []
        with transaction.atomic():
            transaction.on_commit(lambda: committed.append(time.monotonic_ns()))
            for each in span(order, number):
                tasks.noop.async_(each)
        return committed[0]

    return call


def raw_one(order: Order, numbers: range) -> Call:
    connection = raw.connect(order)
    rows = dict(zip(numbers, raw.rows(connection, numbers.start, len(numbers)), strict=True))
    return lambda number: connection.insert(rows[number])


def raw_many(order: Order, numbers: range) -> Call:
    """A transaction with `size` rows, in one call of the driver."""
    connection = raw.connect(order)
    rows = {number: raw.rows(connection, number * order["size"], order["size"]) for number in numbers}

    def call(number: int) -> None:
        connection.begin()
        connection.insert_many(rows[number])
        connection.commit()

    return call


def raw_atomic(order: Order, numbers: range) -> Call:
    """A transaction with `size` rows, inserted one by one."""
    connection = raw.connect(order)
    rows = {number: raw.rows(connection, number * order["size"], order["size"]) for number in numbers}

    def call(number: int) -> None:
        connection.begin()
        for row in rows[number]:
            connection.insert(row)
        connection.commit()

    return call


def raw_echo(order: Order, numbers: range) -> Call:
    """An INSERT with its fsync, then a message to another process and back. Returns when the INSERT was done."""
    import zmq

    insert = raw_one(order, numbers)
    socket = zmq.Context.instance().socket(zmq.DEALER)
    socket.connect(order["echo"])

    def call(number: int) -> int:
        insert(number)
        inserted = time.monotonic_ns()
        socket.send(b"%08d" % number)
        socket.recv()
        return inserted

    return call


def raw_drain(order: Order, numbers: range) -> Call:
    """A transaction of the daemon's: successes of the last claim, a look, and the next claim. Returns the rows claimed."""
    connection = raw.connect(order)
    held: list[str] = []

    def call(number: int) -> int:
        connection.begin()
        connection.succeed(held)
        held[:] = connection.due()
        connection.claim(held)
        connection.commit()
        return len(held)

    return call


WAYS: dict[str, Callable[[Order, range], Call]] = {
    way.__name__: way
    for way in (
        one, unconfirmed, flush, many, naps, many_in_children, computes, later, atomic,
        raw_one, raw_many, raw_atomic, raw_echo, raw_drain,
    )
}  # fmt: skip
