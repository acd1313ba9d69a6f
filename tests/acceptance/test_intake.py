"""Whatever comes in at the node's address, the daemon goes on."""

import os
import random
import socket

import pytest

from tests.acceptance.daemon import free_port
from tests.acceptance.wire import prompt
from tests.fuzz.target import GREETING

pytestmark = pytest.mark.acceptance


@pytest.fixture
def on_port(new_site):
    return new_site(ZTASKD_URL=f"tcp://127.0.0.1:{free_port()}")


def test_bytes_that_are_no_zeromq_do_not_disturb_it(on_port):
    daemon = on_port.start()
    address = ("127.0.0.1", int(on_port.settings["ZTASKD_URL"].rpartition(":")[2]))
    noise = random.Random(1)
    junk = [b"", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", noise.randbytes(5000), GREETING + noise.randbytes(300)]
    junk += [GREETING, GREETING + b"\x02" + b"\xff" * 8, GREETING[:20], b"\x16\x03\x01\x02\0" + bytes(512)]
    held = []
    try:
        for data in junk * 10:
            held.append(socket.create_connection(address, timeout=10))
            try:
                held[-1].sendall(data)
            except ConnectionError:
                pass  # it has hung up on us already
        prompt(on_port)
    finally:
        for connection in held:
            connection.close()
    prompt(on_port)
    assert "service" not in daemon.log
    assert daemon.stop() == 0


def test_a_message_larger_than_any_real_one_is_not_read(site):
    daemon = site.start()
    site.call("""
        import zmq
        from django_ztask.conf import conf
        with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
            dealer.connect(conf.url[0])
            for n in range(5):
                dealer.send_multipart([bytes(32), bytes(20_000_000)])
            dealer.close(2000)
    """)
    prompt(site)
    assert daemon.stop() == 0


def test_a_doubled_replayed_or_early_message_runs_nothing_twice(site):
    site.start()
    site.call("""
        from django_ztask import transport
        done = mark.async_("once")
        later = mark.after(0.5, "later")
        done.result(20)
        for _ in range(50):
            transport.send([done.id, done.id, later.id], None)
        later.result(20)
        transport.send([done.id, later.id] * 100, None)
        add.async_(1, 1).result(20)
    """)
    assert site.marks() == ["once", "later"]
    assert site.count(status="SUCCEEDED", attempts=1) == 3


def test_clients_that_come_and_go_leave_no_descriptors_in_the_daemon(site):
    daemon = site.start()
    connect = """
        import zmq
        from django_ztask.conf import conf
        for n in range(100):
            with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
                dealer.connect(conf.url[0])
                dealer.send_multipart([b"x", b"y"])
                dealer.close(2000)
        add.async_(1, 1).result(20)
    """
    site.call(connect)
    before = len(os.listdir(f"/proc/{daemon.pid}/fd"))
    site.call(connect)
    assert len(os.listdir(f"/proc/{daemon.pid}/fd")) <= before + 5
