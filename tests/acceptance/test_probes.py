"""/livez and /readyz: a node says by itself what is wrong with it, and bad peers do it no harm."""

import os
import signal
import socket
import threading
import time

import pytest

from tests.acceptance.daemon import free_port, wait_for
from tests.acceptance.faults import Held, lock_held
from tests.acceptance.probing import Probe

pytestmark = pytest.mark.acceptance

# In place of an installation without the extra.
WITHOUT = "import sys; sys.modules['prometheus_client'] = None"


def closed(client):
    """Whether the other side has had enough of it."""
    client.settimeout(30)
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


def say(probe, data):
    """What comes back."""
    with socket.create_connection(("127.0.0.1", probe.port), timeout=30) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        found = b""
        while more := client.recv(4096):
            found += more
    return found


def test_answers_are_for_probes_and_for_programs_and_only_to_read(site):
    daemon = site.start("--http", f"localhost:{free_port()}")
    probe = Probe(daemon)
    status, body = probe.get("/livez?verbose=1")
    assert (status, body[:3]) == (200, "ok:")
    assert probe.get("/readyz") == (200, "ok\n")
    status, found = probe.json("/livez")
    assert (status, found["status"], found["reasons"]) == (200, "ok", [])
    assert found["hub_lag_worst_ms"] >= 0
    assert probe.json("/readyz") == (200, {"status": "ok", "reasons": []})
    assert probe.get("/livez", "HEAD") == (200, "")
    assert probe.get("/")[0] == probe.get("/metrics/")[0] == 404
    assert probe.allowed("/livez") == "GET, HEAD"
    assert probe.get("/metrics", "DELETE")[0] == 405
    for garbage in (
        os.urandom(300).replace(b"\n", b"") + b"\r\n\r\n",
        b"GET /livez HTTP/x\n\n",
        b"GET " + b"/" * 9000,
    ):
        assert say(probe, garbage).startswith(b"HTTP/1.1 400 ")
    assert say(probe, b"") == say(probe, b"GET /livez HTTP/1.1\r\nHost") == b""
    assert probe.get("/livez")[0] == 200
    assert daemon.stop() == 0
    assert "Traceback" not in daemon.log + daemon.text


def test_peers_that_say_nothing_keep_nobody_out(site):
    probe = Probe(site.start("--http", "0"))
    slow = [socket.create_connection(("127.0.0.1", probe.port)) for _ in range(150)]
    try:
        for client in slow[::2]:
            client.sendall(b"GET /livez HTTP/1.1\r\nX-")
        assert probe.get("/livez")[0] == 200
        assert all(closed(client) for client in slow[:80])  # (the others have a few seconds)
    finally:
        for client in slow:
            client.close()


def test_a_hub_that_is_blocked_does_not_answer_and_tells_of_it_afterwards(site):
    probe = Probe(site.start("--http", "0"))
    task_id = site.call("show(hog.async_(2).id)")
    wait_for(lambda: ["began", task_id] in site.ledger, "the hog")
    with pytest.raises(TimeoutError):
        probe.get("/livez", seconds=0.3)
    wait_for(lambda: probe.json("/livez")[1]["hub_lag_worst_ms"] > 1000, "the hub's own word")
    assert probe.get("/livez")[0] == probe.get("/readyz")[0] == 200
    assert probe.metrics()[("hub_lag_worst_seconds",)] > 1


def test_a_journal_that_cannot_be_written_is_not_ready(site):
    probe = Probe(site.start("--http", "0"))
    held = Held(site)
    with lock_held(site.database):
        held.gate.touch()
        probe.wait("/readyz", 503, "the journal")
        assert probe.get("/livez")[0] == 200
        assert probe.metrics()[("ready",)] == 0
    assert probe.wait("/readyz", 200) == "ok\n"
    held.unharmed()


@pytest.mark.parametrize("vendor", ["postgresql"], indirect=True)
def test_a_database_that_is_away_is_not_ready_and_has_no_figures(site):
    probe = Probe(site.start("--http", "0"))
    assert ("queue_depth", "due") in probe.metrics()
    with site.made.server.admin.connect() as admin:
        name = site.made.name
        admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        try:
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
            probe.wait("/readyz", 503, "the journal cannot be written")
            wait_for(lambda: ("queue_depth", "due") not in probe.metrics(), "no figures")
            assert probe.get("/livez")[0] == 200
        finally:
            admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    probe.wait("/readyz", 200)


def test_too_little_room_is_not_ready_and_without_the_extra_there_are_probes_only(new_site):
    site = new_site(ZTASKD_HEADROOM=10**18, ZTASKD_IMPORTS=["without"], ZTASKD_HTTP="0")
    (site.folder / "without.py").write_text(WITHOUT)
    daemon = site.start(PYTHONPATH=f"{site.env()['PYTHONPATH']}:{site.folder}")
    probe = Probe(daemon)
    assert "pip install 'ztaskd[metrics]'" in daemon.says(" serves /livez")
    probe.wait("/readyz", 503, "paused: ")
    assert probe.json("/readyz")[1]["status"] == "unavailable"
    assert probe.get("/livez")[0] == 200
    status, text = probe.get("/metrics")
    assert (status, "pip install 'ztaskd[metrics]'" in text) == (501, True)


def test_a_port_in_use_is_refused_with_its_holder_and_one_that_is_not_ours_too(new_site):
    site, other = new_site(), new_site()
    port = free_port()
    daemon = site.start("--http", f":{port}")
    code, text = other.command("--noreload", "--http", str(port))
    assert code == 3
    assert f"127.0.0.1:{port} is in use by pid {daemon.pid} (" in text
    code, text = other.command("--noreload", "--http", "192.0.2.1:8080")
    assert (code, "cannot listen at 192.0.2.1:8080" in text) == (2, True)


def test_once_it_has_served_a_port_in_use_keeps_no_task_waiting(site):
    daemon = site.start("--http", str(free_port()))
    probe = Probe(daemon)
    pid = site.call("show(forks_one_that_stays.async_().result(20))")  # (it has the listener, too)
    try:
        daemon.signal(signal.SIGHUP)
        assert f"is in use by pid {pid}" in daemon.says("Probes and metrics are not served until it is free")
        assert site.call("show(add.async_(1, 1).result(20))") == 2
    finally:
        os.kill(pid, signal.SIGKILL)
    assert probe.wait("/readyz", 200) == "ok\n"


def test_while_a_node_drains_it_lives_but_is_not_ready_and_hup_brings_it_back(edited):
    port = free_port()
    edited.daemon = edited.site.start("--http", str(port), cwd=edited.folder, PYTHONPATH=edited.path)
    probe = Probe(edited.daemon)
    edited.call(f"gated.async_('held', {edited.gate}); show(1)")
    edited.wait_line("began", "held")
    edited.daemon.signal(signal.SIGHUP)
    probe.wait("/readyz", 503, "draining")
    assert probe.get("/livez")[0] == 200
    edited.open_gate()
    edited.wait_boots(2)
    probe.wait("/readyz", 200)
    assert edited.daemon.stop() == 0
    with pytest.raises(OSError, match="refused"):
        probe.get("/livez")


def test_an_edit_does_not_take_the_port_away(edited, figure):
    daemon = edited.start("--http", str(free_port()), "--reload-grace", "60")
    probe, stop, gaps = Probe(daemon), threading.Event(), []

    def knock():
        last = time.monotonic()
        while not stop.is_set():
            try:
                probe.get("/livez", seconds=5)
            except OSError:
                continue
            gaps.append(time.monotonic() - last)
            last = time.monotonic()

    thread = threading.Thread(target=knock)
    thread.start()
    try:
        edited.call(f"gated.async_('held', {edited.gate}); show(1)")
        edited.wait_line("began", "held")
        edited.write("2")
        edited.wait_boots(2)
        assert edited.version() == "2"
    finally:
        stop.set()
        thread.join()
    assert probe.get("/readyz") == (200, "ok\n")
    edited.open_gate()
    figure(f"--http at a reload: no answer for {max(gaps) * 1000:.0f} ms at most")
    assert max(gaps) < 5
    assert "ERROR" not in daemon.log
