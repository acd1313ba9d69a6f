"""A call costs one write into the journal, whatever is or is not at the node's address; what was accepted runs."""

import contextlib
import json
import signal
import socket
import threading

import pytest
import zmq

from tests.acceptance.wire import on_port, stranger, url

pytestmark = [pytest.mark.acceptance, pytest.mark.faults]

# What a caller does: `seconds(url)` of so many calls with that address, in a process whose socket is made anew.
TIMED = """
    from django.test import override_settings
    def seconds(url, calls):
        with override_settings(ZTASKD_URL=url):
            began = time.monotonic()
            for n in range(calls):
                add.async_(n)
            return time.monotonic() - began
"""


def test_a_thousand_calls_at_a_stopped_node_take_no_longer_than_at_a_living_one(site, figure):
    daemon = site.start()
    there = site.settings["ZTASKD_URL"]
    alive = site.call(f"{TIMED}\n    show(seconds({there!r}, 1000))")
    site.wait_count(1000, status="SUCCEEDED")
    daemon.signal(signal.SIGSTOP)
    stopped = site.call(f"{TIMED}\n    show(seconds({there!r}, 1000))")
    assert site.count() == 2000
    daemon.signal(signal.SIGCONT)
    site.wait_count(2000, status="SUCCEEDED", attempts=1)
    figure(f"a thousand calls: {alive:.2f} s at a living node, {stopped:.2f} s at a stopped one")
    assert stopped < 3 * alive + 1


def silent(connection):
    while connection.recv(65536):
        pass


def deaf(connection):
    """Never reads."""
    threading.Event().wait(20)


def http(connection):
    connection.recv(10)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


def test_calls_cost_the_same_whoever_is_at_the_address_and_all_of_them_run(new_site, figure):
    site = on_port(new_site)
    site.start()
    with contextlib.ExitStack() as stack:
        servers = {serve.__name__: stack.enter_context(stranger(serve)) for serve in (silent, deaf, http)}
        context = stack.enter_context(zmq.Context())
        for name, kind in (("PULL", zmq.PULL), ("SUB", zmq.SUB)):
            other = stack.enter_context(context.socket(kind))
            servers[name] = f"tcp://127.0.0.1:{other.bind_to_random_port('tcp://127.0.0.1')}"
        servers["nobody"] = f"ipc://{site.folder}/nobody"
        urls = {"node": url(site), **servers}
        found = site.call(f"{TIMED}\n    show({{name: seconds(url, 100) for name, url in {urls!r}.items()}})")
    figure(
        "a hundred calls (s), with at the address: "
        + ", ".join(f"{name} {took:.2f}" for name, took in found.items())
    )
    assert max(found.values()) < 3 * found["node"] + 1
    site.wait_count(100 * len(urls), status="SUCCEEDED", attempts=1)


class Link:
    """A TCP proxy that can fall silent: connections stay open, and nothing goes through any more."""

    def __init__(self, target):
        self.target = target
        self.open = threading.Event()
        self.open.set()
        self.served = 0

    def serve(self, caller):
        with socket.create_connection(self.target) as node:
            self.served += 1
            back = threading.Thread(target=self.pump, args=[node, caller], daemon=True)
            back.start()
            self.pump(caller, node)

    def pump(self, source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self.open.wait()
                sink.sendall(data)


def test_calls_over_a_link_that_fell_silent_or_to_a_wedged_node_cost_the_same(new_site, figure):
    site = on_port(new_site)
    site.start()
    link = Link(("127.0.0.1", int(url(site).rpartition(":")[2])))
    with stranger(link.serve) as there:
        caller = site.spawn(f"""{TIMED}
    with override_settings(ZTASKD_URL={there!r}):
        add.async_(0).result(20)
    alive = seconds({there!r}, 200)
    mark.async_("warm")
    while not os.path.exists(os.environ["SHOP_LEDGER"] + ".silent"):
        time.sleep(0.01)
    silent = seconds({there!r}, 200)
    hog.async_(1.5)
    while "began" not in open(os.environ["SHOP_LEDGER"]).read():
        time.sleep(0.01)
    show([alive, silent, seconds({url(site)!r}, 200)])
""")
        site.wait_marks(1)
        link.open.clear()
        site.ledger_path.with_name("ledger.silent").touch()
        assert caller.wait() == 0, caller.text
        link.open.set()
    alive, silent, wedged = json.loads(caller.text)
    figure(
        f"two hundred calls: {alive:.2f} s, over a silent link {silent:.2f}, at a wedged node {wedged:.2f}"
    )
    assert max(silent, wedged) < 3 * alive + 1
    assert link.served >= 1
    site.wait_count(603, status="SUCCEEDED", attempts=1)


def test_callers_killed_right_after_their_call_returned_have_their_tasks_run_once(site):
    """Forked as web servers do: after the import, and after the parent's own first call."""
    site.start()
    site.call("""
        from django.db import connections
        def child(word, kill):
            pid = os.fork()
            if not pid:
                mark.async_(word)
                if kill:
                    os.kill(os.getpid(), 9)
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == (9 if kill else 0)
        for n in range(3):
            child(f"imported-{n}", kill=n)
        mark.async_("parent").result(20)
        connections.close_all()
        for n in range(3):
            child(f"called-{n}", kill=n)
        mark.async_("parent-again").result(20)
    """)
    words = [f"{when}-{n}" for when in ("imported", "called") for n in range(3)]
    assert sorted(site.wait_marks(8)) == sorted([*words, "parent", "parent-again"])
    site.wait_count(8, status="SUCCEEDED", attempts=1)
    assert len(site.marks()) == 8
