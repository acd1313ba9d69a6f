"""Who has the port: found through /proc."""

from __future__ import annotations

import os
import socket

import pytest

from ztaskd.addresses import holder_of_port


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_the_process_that_listens_on_a_port_is_found(family: socket.AddressFamily, host: str) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as listening:
        try:
            listening.bind((host, 0))
        except OSError:
            pytest.skip(f"this machine has no {host}")
        listening.listen()
        port = listening.getsockname()[1]
        assert holder_of_port(f"tcp://{host}:{port}").startswith(f"pid {os.getpid()} (")


def test_a_port_that_nobody_of_ours_holds_is_said_to_be_anothers() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # (bound, not listening)
        port = bound.getsockname()[1]
        assert holder_of_port(f"tcp://127.0.0.1:{port}") == "another program (of another user)"
