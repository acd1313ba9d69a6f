"""Real sockets: messages arrive and verify; what cannot be sent raises nothing and costs nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import zmq
from django.db import connections, transaction
from django.test import override_settings

from django_ztask import transport
from django_ztask.conf import keys
from django_ztask.decorators import TaskFunction
from django_ztask.errors import MacError
from django_ztask.message import MAX_NAMES, Cancels, Names, decode
from django_ztask.models import Task
from tests.integration.wire import PATIENCE, Node, nobody
from tests.project.shop.tasks import add


def test_the_first_message_of_a_process_arrives_and_so_do_the_next(node: Callable[..., Node]) -> None:
    one = node()
    with override_settings(ZTASKD_URL=one.url):
        for n in range(3):
            handle = add.async_(n)
            assert one.names() == Names([handle.id])


def test_an_ipc_address_works_like_any_other(node: Callable[..., Node], tmp_path: Path) -> None:
    one = node(f"ipc://{tmp_path}/n")
    with override_settings(ZTASKD_URL=one.url):
        assert one.names(0) is None
        handle = add.async_(1)
        assert one.names() == Names([handle.id])


def test_a_transaction_is_one_message_on_the_wire(node: Callable[..., Node]) -> None:
    one = node()
    with override_settings(ZTASKD_URL=one.url):
        with transaction.atomic():
            handles = [add.async_(n) for n in range(10)]
            later = add.after(60, 1)
        message = one.names()
        assert message is not None
        assert message.ids == [handle.id for handle in handles]
        assert message.later == Task.objects.get(uuid=later.id).next_attempt
        assert one.names(0) is None


def test_more_names_than_a_message_holds_become_a_message_that_says_look(node: Callable[..., Node]) -> None:
    one = node()
    with override_settings(ZTASKD_URL=one.url):
        with transaction.atomic():
            add.map(range(MAX_NAMES + 1))
        assert one.names() == Names([])


def test_a_message_is_signed_with_the_projects_key(node: Callable[..., Node]) -> None:
    one = node()
    with override_settings(ZTASKD_URL=one.url, SECRET_KEY="theirs"):
        handle = add.async_(1)
    frames = one.frames()
    assert frames is not None
    assert len(frames) == 3
    with pytest.raises(MacError):
        decode(frames[1:], keys("message"))
    with override_settings(SECRET_KEY="ours", SECRET_KEY_FALLBACKS=["theirs"]):
        assert decode(frames[1:], keys("message")) == Names([handle.id])


def test_two_urls_take_turns(node: Callable[..., Node]) -> None:
    nodes = [node(), node()]
    with override_settings(ZTASKD_URL=[one.url for one in nodes]):
        poller = zmq.Poller()
        for one in nodes:
            poller.register(one.socket, zmq.POLLIN)
        heard: set[Node] = set()
        while len(heard) < 2:  # until both are connected
            add.async_(0)
            ready = dict(poller.poll(PATIENCE))
            assert ready, "no node hears anything"
            for one in nodes:
                while one.frames(0):
                    heard.add(one)
        handles = [add.async_(n) for n in range(10)]
        shares = [[one.names() for _ in range(5)] for one in nodes]
        assert all(one.names(0) is None for one in nodes)
    told = [message.ids[0] for share in shares for message in share if message is not None]
    assert sorted(told) == [handle.id for handle in handles]


def test_of_two_nodes_both_hear_what_is_cancelled(node: Callable[..., Node]) -> None:
    nodes = [node(), node()]
    with override_settings(ZTASKD_URL=[one.url for one in nodes]):
        heard: set[Node] = set()
        while len(heard) < 2:  # until both are connected
            add.async_(0)
            heard |= {one for one in nodes if one.frames(50)}
        transport.send_cancels(["some-id"])
        for one in nodes:
            frames = one.frames()
            while frames and isinstance(decode(frames[1:], keys("message")), Names):
                frames = one.frames()
            assert frames is not None
            assert decode(frames[1:], keys("message")) == Cancels(["some-id"])


def test_of_two_urls_one_may_be_down(node: Callable[..., Node], tmp_path: Path) -> None:
    one = node()
    with override_settings(ZTASKD_URL=[nobody(tmp_path), one.url]):
        handles = [add.async_(n) for n in range(5)]
        messages = [one.names() for _ in handles]
    assert [message.ids for message in messages if message] == [[handle.id] for handle in handles]


def test_without_a_node_a_call_is_recorded_and_raises_nothing(
    node: Callable[..., Node], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with override_settings(ZTASKD_URL=nobody(tmp_path)):
        handles = [add.async_(1), add.after(5, 2), *add.map([3, 4])]
        with transaction.atomic():
            handles.append(add.async_(5))
    assert Task.objects.count() == len(handles) == 5
    assert caplog.records == []


def test_a_node_that_comes_later_hears_what_is_sent_then(node: Callable[..., Node], tmp_path: Path) -> None:
    url = nobody(tmp_path)
    with override_settings(ZTASKD_URL=url):
        add.async_(1)
        one = node(url)
        for _ in range(PATIENCE // 50):  # the socket connects again within a second
            handle = add.async_(2)
            if (message := one.names(50)) is not None:
                break
        assert message == Names([handle.id])


def test_a_node_that_does_not_read_stops_nobody(node: Callable[..., Node]) -> None:
    one = node()
    one.socket.rcvhwm = 1
    with override_settings(ZTASKD_URL=one.url):
        add.async_(1)
        for n in range(3 * transport.HIGH_WATER):
            transport.send([str(n)], None)
    assert one.names() is not None


def test_a_changed_url_is_followed(node: Callable[..., Node]) -> None:
    first, second = node(), node()
    for one, other in ((first, second), (second, first), (first, second)):
        with override_settings(ZTASKD_URL=one.url):
            handle = add.async_(1)
            assert one.names() == Names([handle.id])
            assert other.names(0) is None


def test_threads_share_the_socket_and_every_message_arrives_whole(node: Callable[..., Node]) -> None:
    one = node()

    def call_some() -> None:
        for _ in range(10):
            add.async_(1)
        connections.close_all()

    with override_settings(ZTASKD_URL=one.url):
        add.async_(0)
        threads = [threading.Thread(target=call_some) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        told: list[str] = []
        while len(told) < 81 and (message := one.names()) is not None:
            told += message.ids
    assert sorted(told) == sorted(Task.objects.values_list("uuid", flat=True))
    assert len(told) == 81


def test_a_task_function_has_no_socket_of_its_own() -> None:
    assert not any("socket" in name for name in vars(TaskFunction))
    assert not any("socket" in name for name in vars(add))


def test_a_node_on_ipv6_is_reached(node: Callable[..., Node]) -> None:
    context = zmq.Context.instance()
    probe = context.socket(zmq.ROUTER)
    probe.ipv6 = True
    try:
        port = probe.bind_to_random_port("tcp://[::1]")
    except zmq.ZMQError:
        pytest.skip("no IPv6 here")
    try:
        with override_settings(ZTASKD_URL=f"tcp://[::1]:{port}"):
            handle = add.async_(1)
            assert probe.poll(PATIENCE)
            assert decode(probe.recv_multipart()[1:], keys("message")).ids == [handle.id]
    finally:
        probe.close(0)
