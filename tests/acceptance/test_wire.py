"""Peers that mean no good: each message is refused for its reason and counted, and nobody else notices."""

import random
import time

import pytest
import zmq

from django_ztask.conf import keys
from django_ztask.control import ask
from django_ztask.message import Names, control, encode, sign
from tests.acceptance.daemon import MODULE, PATIENCE, wait_for
from tests.acceptance.wire import Watch, connect, multipart, on_port, peer, prompt, send, url
from tests.fuzz.target import GREETING, READY, resident

pytestmark = [pytest.mark.acceptance, pytest.mark.faults]


def wrong():
    """Reason and frames of all sorts of bad messages."""
    key = keys("message")[0]
    mac, body = encode(Names(["there-is-no-such-task"]), key)  # (a body of 32 bytes would pass for a MAC)
    flipped = bytes([mac[0] ^ 1]) + mac[1:]
    ping = encode(control("ping", time.time()), key)
    yield "frames", [b""]
    yield "frames", [b"", b"", b""]
    yield "frames", [mac]
    yield "frames", [mac, body, b""]
    yield "frames", [b""] * 10_000
    yield "frames", [b"x" * 100] * 10_000
    yield "size", [b"", body]
    yield "size", [mac[:31], body]
    yield "size", [body, mac]
    yield "size", [mac, b""]
    yield "size", [b"", b""]
    for forged in ([bytes(32), body], [flipped, body], [mac, body + b" "], [b"x" * 32, b"y" * 60_000]):
        yield "mac", forged
    yield "mac", [flipped, ping[1]]
    yield "mac", encode(Names(["x"]), b"the key of another project")
    for version in (b"\x00", b"\x02", b"\xff"):
        other = version + body[1:]
        yield "version", [sign(other, key), other]
    bodies = [
        b"\x01\xc1",
        b"\x01" + b"\x91" * 60_000,
        b"\x01" + b"\x81\xa1a" * 20_000,
        body[:-1],
        body + b"\xc0",
    ]
    bodies += [b"\x01\xdd\xff\xff\xff\xff", b"\x01" + random.Random(1).randbytes(2000)]
    for bad in bodies:
        yield "body", [sign(bad, key), bad]
    for later in (float("nan"), float("inf")):
        yield "body", encode(Names([], later), key)
    yield "stale", encode(control("ping", time.time() - 400), key)
    yield "unknown", encode(control("self-destruct", time.time()), key)


def test_messages_that_are_wrong_in_every_way_are_counted_by_their_reason(new_site):
    site = on_port(new_site)
    watch = Watch(site, site.start())
    messages = [message for _ in range(10) for message in wrong()]
    send(site, [frames for _, frames in messages])
    expected = {}
    for reason, _ in messages:
        expected[reason] = expected.get(reason, 0) + 1
    wait_for(lambda: watch.new_counts() == expected, f"these counts: {expected}")
    line = watch.daemon.says("refused a message")
    assert "WARNING" in line
    send(site, [[b""]])  # (the line after a pause says how many were left out)
    watch.unharmed()


def test_names_of_nothing_of_finished_tasks_and_a_million_of_them_run_nothing_twice(new_site, figure):
    site = on_port(new_site)
    watch = Watch(site, site.start())
    key = keys("message")[0]
    done, later = site.call("""
        done, later = mark.async_("once"), mark.after(600, "later")
        done.result(20)
        show([done.id, later.id])
    """)
    odd = [
        encode(Names(ids, due), key)
        for ids in (["\0"], ["'; --"], [done] * 1000)
        for due in (None, 0.0, -1e308)
    ]
    odd += [encode(Names([], 1e308), key), encode(Names([later, done, "x"]), key)] * 50
    began = time.monotonic()
    send(site, odd + [encode(Names([f"{n:09}-{k}" for k in range(1000)]), key) for n in range(1000)])
    sent = time.monotonic() - began
    prompt(site)
    figure(
        f"a million ids of no rows: sent in {sent:.1f} s, all others prompt {time.monotonic() - began:.1f} s later"
    )
    assert watch.new_counts() == {}
    assert site.marks() == ["once"]
    assert site.task(later)["status"] == "QUEUED"
    assert site.count(status="SUCCEEDED", attempts=1) == site.count() - 1
    watch.unharmed(megabytes=60)


def test_more_idle_and_half_open_connections_than_it_has_descriptors_keep_nobody_from_working(new_site):
    """The customary soft limit is raised; what does not finish its handshake is shown the door."""
    site = on_port(new_site)
    limited = ["bash", "-c", 'ulimit -Sn 200; exec "$@"', "limited", *MODULE]
    watch = Watch(site, site.start(program=limited))
    data = [b"", GREETING[:20], GREETING, b"GET / HTTP/1.1\r\n\r\n", GREETING + READY[:20]]
    held = [connect(site, data[n % len(data)]) for n in range(1000)]
    held += [peer(site) for _ in range(100)]  # these may stay
    try:
        ask(url(site), "ping", PATIENCE)
        prompt(site)
        wait_for(lambda: watch.count_descriptors() <= watch.descriptors + 103, "the silent ones are gone")
        prompt(site)
    finally:
        for connection in held:
            connection.close()
    watch.unharmed()


def test_peers_of_other_kinds_and_peers_with_one_name_disturb_nobody(new_site):
    site = on_port(new_site)
    watch = Watch(site, site.start())
    names = encode(Names(["x"]), keys("message")[0])
    with zmq.Context() as context:
        peers = []
        for kind in (zmq.PUSH, zmq.PULL, zmq.SUB, zmq.PUB, zmq.REQ, zmq.ROUTER, zmq.PAIR, *[zmq.DEALER] * 10):
            peers.append(context.socket(kind))
            peers[-1].linger = 0
            if kind in (zmq.DEALER, zmq.REQ):
                peers[-1].identity = b"twin"
            peers[-1].connect(url(site))
        for one in peers:
            if one.type in (zmq.DEALER, zmq.REQ):
                one.send_multipart(names)
        prompt(site)
        for one in peers:
            one.close()
    watch.unharmed()


def test_a_message_without_end_takes_memory_only_for_as_long_as_its_sender_stays(new_site, figure):
    """libzmq limits each frame, and not how many: on loopback and ipc only the same machine can do this."""
    site = on_port(new_site)
    watch = Watch(site, site.start())
    sizes = []
    for _ in range(3):
        with peer(site) as connection:
            for _ in range(10):
                connection.sendall(multipart(bytes(65_536), 200))
            prompt(site)
            sizes.append(resident(watch.daemon.pid) - watch.memory)
        wait_for(lambda: watch.count_descriptors() <= watch.descriptors + 1, "it is gone")
    figure(f"a message without end, 131 MB of it, thrice: the daemon is larger by {sizes} MB")
    assert sizes[2] < sizes[0] + 65  # what the first took was there for the next
    with peer(site) as connection:  # and one of 300,000 empty frames, to its end
        connection.sendall(multipart(b"", 300_000) + b"\0\0")
        wait_for(lambda: watch.new_counts() == {"frames": 1}, "it is refused")
    watch.unharmed(megabytes=130)
