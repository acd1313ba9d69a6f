"""Control messages to a real daemon: answered, once, to those who hold the key; others get a clear error."""

import signal
import threading
import time

import pytest
import zmq
from django.test import override_settings

from django_ztask.conf import keys
from django_ztask.control import ask
from django_ztask.errors import MacError, NoAnswer, Refused
from django_ztask.message import Reply, control, decode_reply, encode
from tests.acceptance.daemon import PATIENCE
from tests.acceptance.wire import stranger, url
from tests.fuzz.target import resident

pytestmark = [pytest.mark.acceptance, pytest.mark.faults]


def replies(site, frames, number):
    """What comes back for sending the same frames so often: reasons for refusals, or None."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.linger = 0
        dealer.connect(url(site))
        for _ in range(number):
            dealer.send_multipart(frames)
        found = []
        for _ in range(number):
            assert dealer.poll(PATIENCE * 1000)
            found.append(decode_reply(dealer.recv_multipart(), keys("message")).refused)
    return found


def test_a_ping_tells_who_answers_and_a_replayed_one_is_refused_also_after_a_restart(site, figure):
    daemon = site.start()
    seconds = []
    for _ in range(20):
        began = time.perf_counter()
        reply = ask(url(site), "ping", PATIENCE)
        seconds.append(time.perf_counter() - began)
    figure(f"ping: median {sorted(seconds)[10] * 1000:.1f} ms, with a socket of its own")
    assert reply.value["pid"] == daemon.pid
    assert reply.value["refused"] == {}
    frames = encode(control("ping", time.time()), keys("message")[0])
    assert replies(site, frames, 3) == [None, "replayed", "replayed"]
    with pytest.raises(Refused, match="this node knows: ") as caught:
        ask(url(site), "dance", PATIENCE)
    assert caught.value.kind == "unknown"
    assert daemon.stop() == 0
    site.start()
    assert replies(site, frames, 1) == ["stale"]
    assert ask(url(site), "ping", PATIENCE).value["refused"] == {"stale": 1}


def test_an_old_key_is_refused_unless_it_is_among_the_fallbacks(site):
    old = {"SHOP_SECRET_KEY": "old"}
    site.start(SHOP_SECRET_KEY="new")
    with override_settings(SECRET_KEY="old"), pytest.raises(MacError, match="SECRET_KEY"):
        ask(url(site), "ping", PATIENCE)
    with (
        override_settings(SECRET_KEY="old", SECRET_KEY_FALLBACKS=["new"]),
        pytest.raises(Refused, match="SECRET_KEY") as caught,
    ):
        ask(url(site), "ping", PATIENCE)
    assert caught.value.kind == "mac"
    site.call("mark.async_('no'); mark.after(0.1, 'no')", **old)
    with override_settings(SECRET_KEY="new"):
        assert ask(url(site), "ping", PATIENCE).value["refused"]["mac"] >= 3
    site.wait_count(2, status="FAILED")
    assert site.marks() == []


def test_a_key_among_the_fallbacks_is_as_good_and_answered_in_kind(new_site):
    site = new_site(SECRET_KEY_FALLBACKS=["old"])
    site.start(SHOP_SECRET_KEY="new")
    with override_settings(SECRET_KEY="old"):
        assert ask(url(site), "ping", PATIENCE).value["refused"] == {}
    seconds = site.call(
        """
        began = time.monotonic()
        for n in range(5):
            mark.async_(f"m{n}").result(20)
        show(time.monotonic() - began)
        """,
        SHOP_SECRET_KEY="old",
    )
    assert seconds < 3  # the messages are taken: by the sweep it would be five
    assert site.marks() == [f"m{n}" for n in range(5)]


def test_a_stopped_node_does_not_answer_and_does_so_again_when_it_goes_on(site):
    daemon = site.start()
    daemon.signal(signal.SIGSTOP)
    with pytest.raises(NoAnswer):
        ask(url(site), "ping", 0.3)
    daemon.signal(signal.SIGCONT)
    assert ask(url(site), "ping", PATIENCE).value["pid"] == daemon.pid


def test_a_peer_that_asks_and_never_listens_keeps_nobody_from_being_answered(site):
    daemon = site.start()
    before = resident(daemon.pid)
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.linger = 0
        dealer.rcvhwm = 1
        dealer.connect(url(site))
        for _ in range(5000):
            dealer.send_multipart(encode(control("ping", time.time()), keys("message")[0]))
        assert ask(url(site), "ping", PATIENCE).value["refused"] == {}
    assert resident(daemon.pid) < before + 20
    assert daemon.stop() == 0


def silent(connection):
    connection.recv(10)
    connection.recv(10_000_000)


def http(connection):
    connection.recv(10)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize("serve", [silent, http])
def test_who_asks_a_stranger_is_told_that_no_node_answers(serve):
    with stranger(serve) as there:
        began = time.monotonic()
        with pytest.raises(NoAnswer, match=there):
            ask(there, "ping", 0.3)
        assert time.monotonic() - began < 5


def test_who_asks_nobody_is_told_that_no_node_answers(tmp_path):
    with pytest.raises(NoAnswer):
        ask(f"ipc://{tmp_path}/nobody", "ping", 0.1)


@pytest.mark.parametrize("kind", [zmq.PULL, zmq.ROUTER])
def test_who_asks_a_socket_that_is_no_node_is_told_that_it_did_not_answer(kind):
    with zmq.Context() as context, context.socket(kind) as other:
        port = other.bind_to_random_port("tcp://127.0.0.1")
        with pytest.raises(NoAnswer):
            ask(f"tcp://127.0.0.1:{port}", "ping", 0.3)


def test_an_answer_to_somebody_elses_message_is_not_taken_for_ours():
    with zmq.Context() as context, context.socket(zmq.ROUTER) as other:
        there = f"tcp://127.0.0.1:{other.bind_to_random_port('tcp://127.0.0.1')}"

        def answer():
            peer, *_ = other.recv_multipart()
            other.send_multipart([peer, *encode(Reply(bytes(32)), keys("message")[0])])

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(NoAnswer, match="did not answer"):
            ask(there, "ping", 1)
        thread.join()
