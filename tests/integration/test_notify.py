"""What is told to systemd, over real sockets."""

import os
import socket

import pytest

from tests.acceptance.service_manager import ServiceManager
from ztaskd.notify import Manager


@pytest.fixture
def theirs(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.settimeout(20)
        listening.bind(str(tmp_path / "notify"))
        yield listening


@pytest.fixture
def manager_at():
    made = []

    def make(path, **more):
        made.append(Manager())
        made[-1].take({"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "3000000", **more})
        return made[-1]

    yield make
    for manager in made:
        if manager._socket is not None:
            manager._socket.close()


def test_the_variables_are_taken_away_and_kept_for_what_takes_our_place():
    environment = {
        "NOTIFY_SOCKET": "/run/notify",
        "WATCHDOG_USEC": "3000000",
        "WATCHDOG_PID": "1",
        "HOME": "/",
    }
    manager = Manager()
    manager.take(environment)
    assert environment == {"HOME": "/"}
    assert manager.environment == {
        "NOTIFY_SOCKET": "/run/notify",
        "WATCHDOG_USEC": "3000000",
        "WATCHDOG_PID": "1",
    }
    assert (manager.listens, manager.watchdog) == (True, None)


@pytest.mark.parametrize(
    ("variables", "watchdog"),
    [
        ({}, 3.0),
        ({"WATCHDOG_PID": str(os.getpid())}, 3.0),
        ({"WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_signs_of_life_are_wanted_of_the_process_that_is_named(manager_at, variables, watchdog):
    assert manager_at("/run/notify", **variables).watchdog == watchdog


@pytest.mark.parametrize("address", ["", "vsock:2:1234", "relative"])
def test_without_a_socket_of_this_machine_nothing_is_said(manager_at, address):
    manager = manager_at(address)
    manager.ready("fine")
    assert manager.alive()
    assert (manager.listens, manager.environment) == (False, {})


def test_a_status_is_one_line(manager_at, theirs):
    manager = manager_at(theirs.getsockname())
    manager.status("one\ntwo\udcff")
    assert theirs.recv(4096) == b"STATUS=one two?"


def test_the_reason_of_a_refusal_stays_until_the_next_reload(manager_at, theirs):
    manager = manager_at(theirs.getsockname())
    manager.ready("1 task(s) run")
    manager.refused("ztaskd: no:\nTraceback (most recent call last):\n  ...\nNameError: shop\n")
    manager.status("2 task(s) run")
    manager.reloading(1)
    manager.ready("0 task(s) run")
    why = "the new code was refused, the old code goes on: NameError: shop; "
    said = [theirs.recv(4096).decode() for _ in range(5)]
    assert said[1] == f"READY=1\nSTATUS={why}1 task(s) run\nWATCHDOG=1"
    assert said[2] == f"STATUS={why}2 task(s) run"
    assert said[4] == "READY=1\nSTATUS=0 task(s) run\nWATCHDOG=1"


def test_a_manager_that_is_gone_or_comes_back_costs_nothing(manager_at, tmp_path, theirs):
    manager = manager_at(theirs.getsockname())
    manager.status("a")
    theirs.close()
    manager.status("b")
    (tmp_path / "notify").unlink()
    manager.ready("c")
    again = ServiceManager(tmp_path / "notify").listen()
    try:
        manager.status("d")
        again.hears("STATUS", "d")
    finally:
        again.close()


def test_a_descriptor_that_a_task_has_closed_is_made_anew_and_a_file_in_its_place_left_alone(
    manager_at, tmp_path, theirs
):
    manager = manager_at(theirs.getsockname())
    manager.status("a")
    number = manager._socket.fileno()
    with (tmp_path / "file").open("w+") as file:
        os.dup2(file.fileno(), number)
        manager.status("b")
        assert os.path.samestat(os.fstat(number), os.fstat(file.fileno()))
        os.close(number)
    assert (tmp_path / "file").read_text() == ""
    assert [theirs.recv(4096) for _ in range(2)] == [b"STATUS=a", b"STATUS=b"]


def test_what_there_is_no_room_for_is_said_later_but_no_sign_of_life_is(manager_at, tmp_path):
    theirs = ServiceManager(tmp_path / "notify")
    theirs.fill()
    manager = manager_at(tmp_path / "notify")
    manager.ready("a")
    manager.status("b")
    assert not manager.alive()
    manager.stopping(1, "c")
    theirs.listen()
    try:
        theirs.hears("FULL")
        manager.status("d")
        theirs.hears("STATUS", "d")
        words = [said.lines.get("STATUS") for said in theirs.said if "FULL" not in said.lines]
        assert words == ["a", "c", "d"]
    finally:
        theirs.close()


def test_ready_goes_out_later_when_there_was_no_room_and_no_sign_of_life_is_wanted(manager_at, tmp_path):
    theirs = ServiceManager(tmp_path / "notify")
    theirs.fill()
    manager = manager_at(tmp_path / "notify", WATCHDOG_USEC="0")
    manager.ready("a")
    assert (manager.is_heard(), manager.alive()) == (False, False)
    theirs.listen()
    try:
        theirs.hears("FULL")
        assert (manager.alive(), manager.is_heard()) == (True, True)
        theirs.hears("READY", "1")
    finally:
        theirs.close()
