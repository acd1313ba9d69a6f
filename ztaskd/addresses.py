"""URLs as addresses: which are this machine's own, and who holds a busy one."""

from __future__ import annotations

import os
import re
import socket
import stat
from ipaddress import ip_address
from pathlib import Path


class AddressInUse(Exception):
    """Another process has the node's address."""

    def __init__(self, url: str, holder: str) -> None:
        super().__init__(f"{url} is in use by {holder}")
        self.url = url
        self.holder = holder


class BadAddress(Exception):
    """An address that cannot be, or must not be, bound."""


def is_loopback(url: str) -> bool:
    """True when only this machine can reach a tcp URL."""
    host = url.removeprefix("tcp://").rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def check_path(url: str, path: Path) -> None:
    """libzmq removes what is at an ipc path before it binds: nothing but a dead socket may be there.

    Raises AddressInUse when some program listens there, BadAddress for a file of another kind.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise BadAddress(f"ZTASKD_URL: {url}: {path} is there and is no socket; name another path")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return  # left behind by a process that is gone
        except OSError:
            pass  # full or forbidden: somebody is there
    raise AddressInUse(url, "another program that listens there")


def holder_of_port(url: str) -> str:
    """The process that listens on the port of a tcp URL, as far as /proc tells us."""
    port = int(url.rpartition(":")[2])
    inodes = {f"socket:[{inode}]" for inode in _listening(port)}
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if os.readlink(link) in inodes:
                pid = link.parts[2]
                command = (
                    Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                )
                return f"pid {pid} ({command.strip()[:100]})"
        except OSError:
            continue
    return "another program (of another user)"


def _listening(port: int) -> set[str]:
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            columns = re.split(r"\s+", line.strip())
            if columns[3] == "0A" and int(columns[1].rpartition(":")[2], 16) == port:
                found.add(columns[9])
    return found
