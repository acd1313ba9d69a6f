"""Which URLs are this machine's own."""

from __future__ import annotations

import pytest

from ztaskd import addresses


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("tcp://127.0.0.1:5555", True),
        ("tcp://127.9.9.9:5555", True),
        ("tcp://localhost:5555", True),
        ("tcp://[::1]:5555", True),
        ("tcp://0.0.0.0:5555", False),
        ("tcp://*:5555", False),
        ("tcp://[::]:5555", False),
        ("tcp://10.0.0.1:5555", False),
        ("tcp://localhost.example.com:5555", False),
        ("tcp://127.0.0.1.example.com:5555", False),
        ("tcp://example.com:5555", False),
    ],
)
def test_only_loopback_addresses_are_out_of_reach_of_other_machines(url: str, loopback: bool) -> None:
    assert addresses.is_loopback(url) is loopback


def test_an_address_in_use_names_url_and_holder() -> None:
    error = addresses.AddressInUse("tcp://127.0.0.1:5555", "pid 7 (flower)")
    assert str(error) == "tcp://127.0.0.1:5555 is in use by pid 7 (flower)"
