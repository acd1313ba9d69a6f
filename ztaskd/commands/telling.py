"""Tells the nodes that something about pauses has changed, and waits until each has answered that it knows."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable
from typing import Any

# Seconds that a node has to learn of it (it looks every two seconds anyway), and between two questions.
PATIENCE, AGAIN = 3.0, 0.02


def tell(connection: Any, is_known: Callable[[set[int]], bool]) -> tuple[list[str], list[str]]:
    """`is_known`: whether a node knows it by now, from the numbers of the pauses it knows. Returns the names of the nodes
    that do, and of those that did not say so."""
    from django_ztask import looking
    from ztaskd.commands.journal import lives

    told: list[str] = []
    silent: list[str] = []
    for node in looking.nodes(connection):
        # (One that was stopped for longer than its lease still has what it had claimed.)
        if lives(connection, node):
            knows = _ask(node, is_known, time.monotonic() + PATIENCE)
            if knows is not None:
                (told if knows else silent).append(f"{node['name']} (pid {node['pid']} on {node['host']})")
    return told, silent


def _ask(node: dict[str, Any], is_known: Callable[[set[int]], bool], deadline: float) -> bool | None:
    """None: it has handed its address over to another one, and takes no more tasks."""
    from django_ztask import control
    from django_ztask.errors import MacError, MessageError, NoAnswer, Refused

    while (left := deadline - time.monotonic()) > 0:
        try:
            value = dict(control.ask(node["url"], "pauses", left).value or {})
        except (
            NoAnswer,
            Refused,
            MacError,
            MessageError,
            OSError,
        ):  # (an address that is none: zmq's are OSErrors)
            return False
        if value.get("boot") != node["boot"]:
            return (
                None if node["host"] == socket.gethostname() else False
            )  # (that host has such an address, too)
        if is_known(set(value.get("pauses", ()))):
            return True
        time.sleep(AGAIN)
    return False


def unanswered(names: Iterable[str], what: str) -> str:
    """What is said of those that did not answer."""
    from ztaskd.commands.printing import clean

    return "\n".join(
        f"the node {clean(name)} has not said that it knows: if it lives and can read the journal, it {what} within 2 s "
        "of its own accord"
        for name in names
    )
