"""What the journal knows, looked up beside: a database that is down, locked or frozen keeps no command from going on."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

# Seconds after which an answer of the database is not waited for any more.
PATIENCE = 5.0


class Look:
    """One look, in a thread with a connection of its own. `found` is what `work` has made of that (None: nothing, see
    `trouble`). `check`: whether the journal is to be found fit first."""

    def __init__(self, work: Callable[[Any], Any] | None = None, check: bool = True) -> None:
        self.found: Any = None
        self._work = work or stands
        self._check = check
        self._reason = ""
        self._began = time.monotonic()
        self._over = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    @property
    def is_over(self) -> bool:
        return self._over.is_set()

    @property
    def trouble(self) -> str:
        """(What nobody has waited for any longer may be found by now: that is none.)"""
        return self._reason or f"the database has not answered for {time.monotonic() - self._began:.1f} s"

    def wait(self, seconds: float = PATIENCE) -> Any:
        """What is found by then."""
        self._over.wait(seconds)
        return self.found

    def _run(self) -> None:
        from django.db import connections

        from django_ztask.conf import conf
        from ztaskd.project import Refusal, check_journal

        try:
            if self._check:
                check_journal()
            self.found = self._work(connections[conf.database])
        except Refusal as refusal:
            self._reason = str(refusal)
        except Exception as error:  # (whatever it is: there is more to tell than what the journal knows)
            self._reason = f"the journal cannot be used: {str(error).strip() or repr(error)}"
        finally:
            connections.close_all()
            self._over.set()


def stands(connection: Any) -> dict[str, Any]:
    """As standing.standing has it; `database` names it, `paused` is what is, and each of its nodes also `lives`."""
    from django_ztask import pauses, standing
    from ztaskd import project

    found = standing.standing(connection)
    for node in found["nodes"]:
        node["lives"] = lives(connection, node)
    paused = [
        {"queue": pause.queue, "what": pause.what, "since_whom": pause.since_whom, "again": pause.again}
        for pause in pauses.current(connection)
    ]
    return {"database": project.describe_journal(connection), "paused": paused, **found}


def lives(connection: Any, node: dict[str, Any]) -> bool:
    """By its lock file, where that is to be seen; else by its lease, and its process if that would be here."""
    from ztaskd import locks, recover

    try:
        lock = recover.boot_lock(locks.folder_for(connection), node["boot"])
        if lock.exists():
            return locks.is_held(lock)
    except OSError:  # (another user's)
        pass
    return node["left"] > 0 and (
        node["host"] != socket.gethostname() or Path(f"/proc/{node['pid']}").exists()
    )


def holders() -> list[int]:
    """The processes on this host that hold a lock of this journal's nodes, whether the database answers or not: those
    that serve, start, or stop; or that had one, and come up again in their own place. (The locks themselves are not
    tried: who starts just then would find them held.)"""
    from django.db import connections

    from django_ztask.conf import conf
    from ztaskd import locks

    found: set[int] = set()
    with suppress(OSError):  # (another user's)
        held = _held()
        for path in locks.folder_for(connections[conf.database]).glob("*.lock"):
            with suppress(OSError):  # (just removed)
                words = path.read_text(errors="replace").split()
                pids = {int(word) for word in words[1:2] if word.isdecimal()}
                found |= {pid for pid in pids if (pid, path.stat().st_ino) in held or _is_again(pid)}
    return sorted(found - {os.getpid()})


def _is_again(pid: int) -> bool:
    """After HUP without the reloader, the program has taken its own place: its locks were free from then on."""
    from ztaskd.again import AGAIN

    with suppress(OSError):  # (gone, or another user's)
        return f"{AGAIN}=1".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return False


def _held() -> set[tuple[int, int]]:
    """Process and inode of each flock that the system knows of."""
    lines = [line.replace(":", " ").split() for line in Path("/proc/locks").read_text().splitlines()]
    return {(int(words[4]), int(words[7])) for words in lines if words[1] == "FLOCK" and len(words) > 7}
