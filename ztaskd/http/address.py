"""HOST:PORT of --http, as it is written. Pure: cli.py reads it before gevent is patched in."""

from __future__ import annotations

import re
from typing import NamedTuple

LOOPBACK = "127.0.0.1"

# (conf.http_address of django_ztask says the same of ZTASKD_HTTP; a test compares them.)
_ADDRESS = re.compile(r"(?:(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]*):)?([0-9]{1,5})", re.ASCII)


class Address(NamedTuple):
    """Where to listen. Port 0: any that is free."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse(text: str) -> Address:
    """Only this machine's, unless a host is told. Raises ValueError."""
    found = _ADDRESS.fullmatch(text)
    if found is None or int(found[2]) > 65535:
        raise ValueError(f"{text!r} is no address: write 8080, 127.0.0.1:8080, 0.0.0.0:8080 or [::1]:8080")
    host = (found[1] or LOOPBACK).strip("[]")
    return Address(LOOPBACK if host == "localhost" else host, int(found[2]))
