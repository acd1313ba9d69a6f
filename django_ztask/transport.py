"""Plain zmq: the process's one send-only socket. Never raises, never blocks, never trusts a fork.

A message only names committed rows: what cannot be sent at once is dropped, and the node's sweep finds
the rows within a second.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import zmq

from django_ztask.conf import conf, key
from django_ztask.message import Cancels, Names, encode

# A fresh socket needs a moment for its first handshake (1 ms with a living node). It is waited for once
# per process, so that a short script's only message does not have to wait for the sweep.
FIRST_CONNECTION = 0.05

# How long exit waits for a message that a connected node has not read yet (milliseconds).
FLUSH_AT_EXIT = 100

# Messages waiting for a node that does not read; then they are dropped.
HIGH_WATER = 1000

# A stopped node is dropped from the round after one silent heartbeat (milliseconds).
HEARTBEAT, HEARTBEAT_TIMEOUT = 1000, 2000

# Milliseconds between attempts to reach a node that is away. (Most find out that it is back well within a sweep.)
RECONNECT, RECONNECT_MAX = 50, 200

# Who calls in a tight loop (from the STREAK-th time on that a call comes within GAP seconds of the one before) says so now and
# then only: the message asks the node to look once more after COVER seconds, and what is committed until then goes unsaid.
# (One thread in a loop: 2,500 calls/s became 2,950. Of a message's 45 us, the most is to wake libzmq's thread.)
GAP, STREAK, COVER = 0.002, 3, 0.004

logger = logging.getLogger("ztaskd")

Deliver = Callable[[Sequence[str], float | None], None]
DeliverCancels = Callable[[Sequence[str]], None]


class Transport:
    """One DEALER, made on first use, connected to every URL and used under a lock by all threads."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.deliver: Deliver | None = None  # set in a node: names go to its dispatcher, not over the wire
        self.deliver_cancels: DeliverCancels | None = None  # as `deliver`
        self.context: zmq.Context[Any] | None = None
        self.socket: zmq.Socket[Any] | None = None
        self.monitor: zmq.Socket[Any] | None = None  # until the first message: tells of refused connections
        self.urls: tuple[str, ...] = ()
        self._asked = 0.0  # when `send` was called, by `clock`
        self._streak = 0  # how often it was called soon after the time before
        self._covered = 0.0  # until when what is committed need not be said
        self.clock = time.monotonic

    def connect(self) -> None:
        """Makes the socket, if there is none: its handshake then goes on while the first row is written."""
        if self.socket is None and self.deliver is None:
            with self.lock:
                self._open(conf.url)

    def send(self, ids: Sequence[str], later: float | None) -> None:
        if self.deliver is not None:
            self.deliver(ids, later)
            return
        now = self.clock()
        self._streak = self._streak + 1 if now - self._asked < GAP else 0
        self._asked = now
        if later is None and now < self._covered:
            return
        more = COVER if self._streak >= STREAK else 0.0
        if self._post(Names(list(ids), later, more), copies=1) and more:
            self._covered = now + more

    def send_cancels(self, ids: Sequence[str]) -> None:
        """To each node, since nobody here knows which one runs them: messages are dealt in turn."""
        if self.deliver is None:
            self._post(Cancels(list(ids)), copies=len(conf.url))
        elif self.deliver_cancels is not None:
            self.deliver_cancels(ids)

    def _post(self, message: Names | Cancels, copies: int) -> bool:
        """False when not even one could be sent."""
        frames, sent = encode(message, key("message")), False
        with self.lock:
            self._open(conf.url)
            for _ in range(copies):
                sent = (self._try(frames) if self.monitor is None else self._send_first(frames)) or sent
        return sent

    def _open(self, urls: tuple[str, ...]) -> None:
        """Makes the socket: once, and again when ZTASKD_URL changed (in a test)."""
        if self.socket is not None and self.urls == urls:
            return
        self._close(0)
        # A context of our own: the project's may be closed, or be made for something else.
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        for option, value in (
            (zmq.IMMEDIATE, 1),  # only to nodes that are there
            (zmq.SNDHWM, HIGH_WATER),
            (zmq.LINGER, 0),
            (zmq.HEARTBEAT_IVL, HEARTBEAT),
            (zmq.HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT),
            (zmq.RECONNECT_IVL, RECONNECT),
            (zmq.IPV6, int(any("[" in url for url in urls))),
            (zmq.RECONNECT_IVL_MAX, RECONNECT_MAX),
        ):
            self.socket.setsockopt(option, value)
        self.monitor = self.socket.get_monitor_socket(zmq.EVENT_CONNECT_RETRIED)
        try:
            for url in urls:
                self.socket.connect(url)
        except zmq.ZMQError:
            self._close(0)
            raise
        self.urls = urls

    def _try(self, frames: list[bytes]) -> bool:
        assert self.socket is not None
        try:
            self.socket.send_multipart(frames, zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def _send_first(self, frames: list[bytes]) -> bool:
        """Short sleeps, so that a gevent-patched process goes on meanwhile; no longer than until every
        connection was refused."""
        assert self.socket is not None
        assert self.monitor is not None
        refused, deadline = 0, time.monotonic() + FIRST_CONNECTION
        while not (sent := self._try(frames)) and refused < len(self.urls) and time.monotonic() < deadline:
            time.sleep(0.0003)
            while self.monitor.poll(0):
                self.monitor.recv_multipart(zmq.NOBLOCK)
                refused += 1
        self.socket.disable_monitor()
        self.monitor.close(0)
        self.monitor = None
        return sent

    def close(self) -> None:
        with self.lock:
            self._close(FLUSH_AT_EXIT)

    def _close(self, linger: int) -> None:
        if self.context is not None:
            self.context.destroy(linger)
        self.socket = self.monitor = self.context = None
        self.urls = ()
        self._covered = 0.0


_transport = Transport()

# What a forked child inherited and must never touch, nor let the garbage collector touch.
_inherited: list[Transport] = []


def connect() -> None:
    """Before a row is written: see Transport.connect. Never raises; `send` will say what is wrong."""
    with suppress(Exception):
        _transport.connect()


def send(ids: Sequence[str], later: float | None) -> None:
    """Tells a node of committed rows: `ids` are due now, `later` is when the earliest other one is due.

    Called after COMMIT, where an error would reach a view whose work is done: so it never raises.
    """
    try:
        _transport.send(ids, later)
    except Exception as error:
        logger.warning("no message about %d task(s): %r; the node's next sweep finds them", len(ids), error)


def send_cancels(ids: Sequence[str]) -> None:
    """Tells the nodes that the rows of these running tasks ask for their end. Never raises, as `send`."""
    try:
        _transport.send_cancels(ids)
    except Exception as error:
        logger.warning(
            "no message about %d cancelled task(s): %r; the node's next round finds them", len(ids), error
        )


def in_node() -> bool:
    """True in a ztaskd daemon."""
    return _transport.deliver is not None


def deliver_to(deliver: Deliver | None, cancels: DeliverCancels | None = None) -> None:
    """In a node: hand the names, and what is cancelled, over directly."""
    _transport.deliver = deliver
    _transport.deliver_cancels = cancels


def _after_fork() -> None:
    global _transport
    _inherited.append(_transport)
    _transport = Transport()


os.register_at_fork(after_in_child=_after_fork)
atexit.register(lambda: _transport.close())
