"""Whatever comes in at the node's address, the daemon goes on."""

import os
import random
import socket

import pytest

from tests.acceptance.daemon import MODULE, free_port

pytestmark = pytest.mark.acceptance
PROGRAM = MODULE  # the quickest to start

GREETING = b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\x00NULL" + bytes(16) + b"\0" + bytes(31)


@pytest.fixture
def on_port(new_site):
    return new_site(ZTASKD_URL=f"tcp://127.0.0.1:{free_port()}")


def prompt(site):
    """Ten tasks, one after the other: by the sweep alone they would take ten seconds."""
    seconds = site.call("""
        began = time.monotonic()
        for n in range(10):
            add.async_(n, n).result(20)
        show(time.monotonic() - began)
    """)
    assert seconds < 5


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


def test_messages_that_are_wrong_in_every_way_are_logged_and_dropped(site):
    daemon = site.start()
    site.call("""
        import random, zmq
        from django_ztask.conf import conf, keys
        from django_ztask.message import Names, encode, sign
        key = keys("message")[0]
        good = encode(Names(["no-such-task"]), key)
        bodies = [b"", b"\\x01", b"\\x02" + good[1][1:], b"\\x01\\xc1", b"\\x01" + b"\\x91" * 5000, good[1][:-1],
                  random.Random(1).randbytes(2000)]
        wrong = [[], [b""], [b"", b"", b""], good[:1], [*good, b""], good[::-1], [bytes(32), good[1]],
                 [good[0], good[1] + b" "], [b"x" * 32, b"y" * 60000], [b"x"] * 500]
        wrong += [[sign(body, key), body] for body in bodies]
        wrong += [encode(Names([], later), key) for later in (float("nan"), float("inf"), 1e308, -1e308, 0.0)]
        wrong += [encode(Names(["x" * 36] * 1000, None), key), encode(Names(["", "\\0", "'; --"]), key)]
        with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
            dealer.connect(conf.url[0])
            for frames in wrong * 20:
                dealer.send_multipart(frames or [b""])
            dealer.close(5000)
    """)
    prompt(site)
    daemon.says("refused a message")
    assert daemon.log.count("refused a message") < 50  # of hundreds: the lines are limited
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
