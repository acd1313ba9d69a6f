"""Two daemons never share a name or an address: the second says who is there, and goes."""

import contextlib
import os
import socket

import pytest

from tests.acceptance.daemon import free_port

pytestmark = pytest.mark.acceptance


def refused(site, *args):
    """What a second daemon on `site` says when it finds the address taken."""
    code, text = site.command("--noreload", *args)
    assert code == 3, text
    return text


def works(site):
    return site.call("show(add.async_(1, 1).result(20))") == 2


def test_a_second_daemon_of_the_same_node_is_refused(site):
    daemon = site.start()
    site.settings["ZTASKD_URL"] = f"ipc://{site.folder}/run/other"
    assert str(daemon.pid) in refused(site)
    site.settings["ZTASKD_URL"] = f"ipc://{site.folder}/run/node"
    assert str(daemon.pid) in refused(site)
    assert works(site)


def test_two_nodes_of_different_names_may_share_a_journal_but_not_an_address(site):
    daemon = site.start()
    site.settings["ZTASKD_NODE"] = "two"
    assert str(daemon.pid) in refused(site)
    site.settings["ZTASKD_URL"] = f"ipc://{site.folder}/run/other"
    second = site.start()
    assert works(site)
    assert second.stop() == daemon.stop() == 0


def test_a_second_daemon_on_the_same_port_is_refused(new_site):
    url = f"tcp://127.0.0.1:{free_port()}"
    site, other = new_site(ZTASKD_URL=url), new_site(ZTASKD_URL=url)
    daemon = site.start()
    text = refused(other)
    assert url in text
    assert f"pid {daemon.pid}" in text
    assert "Flower" in text
    assert works(site)
    assert daemon.stop() == 0
    other.start()
    assert works(other)


def test_a_second_daemon_on_the_same_ipc_path_is_refused_until_the_first_is_gone(new_site):
    site = new_site()
    other = new_site(ZTASKD_URL=site.settings["ZTASKD_URL"])
    daemon = site.start()
    assert f"pid {daemon.pid}" in refused(other)
    assert works(site)
    daemon.kill9()
    other.start()
    assert works(other)


def test_the_socket_of_another_program_is_not_stolen(site):
    path = site.folder / "run" / "node"
    path.parent.mkdir()
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(path))
        listener.listen()
        inode = path.stat().st_ino
        refused(site)
        assert path.stat().st_ino == inode


def test_a_file_that_is_no_socket_is_not_replaced(site):
    path = site.folder / "run" / "node"
    path.parent.mkdir()
    path.write_text("precious")
    code, text = site.command("--noreload")
    assert code in (2, 3), text
    assert path.read_text() == "precious"


def test_the_folder_and_the_socket_are_the_users_own(site):
    site.start()
    folder = site.folder / "run"
    assert folder.stat().st_mode & 0o077 == 0
    assert (folder / "node").stat().st_mode & 0o077 == 0
    assert folder.stat().st_uid == os.getuid()


def test_an_ipv6_or_named_loopback_serves_as_well(new_site):
    site = new_site(ZTASKD_URL=f"tcp://localhost:{free_port()}")
    daemon = site.start()
    assert works(site)
    assert "refused" not in daemon.log
