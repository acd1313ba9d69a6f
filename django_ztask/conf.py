"""The ZTASKD_* settings: one typed class, each with its default and its reason, read when asked for.

Nothing is frozen at import, so `override_settings` works. A wrong value raises ImproperlyConfigured here
and is a system check in checks.py, which reads the same table.
"""

from __future__ import annotations

import hashlib
import re
import socket
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, TypeVar, overload

from django.conf import Settings as DjangoSettings
from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured

T = TypeVar("T")

PREFIX = "ZTASKD_"

_URL = re.compile(r"(?:tcp://(?:\[[0-9a-fA-F:.]+\]|[^:/\s*]+):(?P<port>\d{1,5})|ipc:///\S+)\Z")

_HTTP = re.compile(r"(?:(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]*):)?(?P<port>[0-9]{1,5})")


def boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be True or False")
    return value


def count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError("must be a whole number, 0 or more")
    return value


def positive(value: object) -> int:
    if count(value) < 1:
        raise ValueError("must be a whole number, 1 or more")
    return value  # type: ignore[return-value]


def seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be a number of seconds")
    if not 0 <= value <= sys.float_info.max:
        raise ValueError("must be a finite number of seconds, 0 or more")
    return float(value)


def lease_seconds(value: object) -> float:
    """The lease is renewed three times within it: much shorter, and that would be all a node does."""
    if seconds(value) < 1:
        raise ValueError("must be 1 second or more")
    return seconds(value)


def keep_seconds(value: object) -> float | None:
    """None: for ever."""
    if value is not None and seconds(value) > 100 * 365 * 86400:
        raise ValueError("must be less than 100 years; None keeps them for ever")
    return None if value is None else seconds(value)


def some_seconds(value: object) -> float | None:
    """None: never."""
    if value is not None and seconds(value) <= 0:
        raise ValueError("must be more than 0 seconds, or None")
    return None if value is None else seconds(value)


def text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("must be a string")
    return value


def node_name(value: object) -> str:
    if value is None:
        return socket.gethostname()
    if not re.fullmatch(r"[\w.@-]{1,100}", text(value)):
        raise ValueError("must be 1 to 100 letters, digits, or any of . _ @ -")
    return str(value)


def urls(value: object) -> tuple[str, ...]:
    """One URL or a list of them: tcp://host:port or ipc:///path."""
    found = (value,) if isinstance(value, str) else value
    if not isinstance(found, list | tuple) or not found:
        raise ValueError("must be a URL, or a list of them")
    for url in found:
        match = _URL.match(url) if isinstance(url, str) else None
        if match is None or int(match["port"] or 1) not in range(1, 65536):
            raise ValueError(f"{url!r} is no URL: write 'tcp://127.0.0.1:5555' or 'ipc:///run/ztaskd/node'")
        if url.startswith("ipc://") and len(url.encode()) - len("ipc://") > 107:
            raise ValueError(f"{url!r} is too long: the path of a Unix socket has at most 107 bytes")
    return tuple(found)


def http_address(value: object) -> str | None:
    """HOST:PORT, or a port of this machine's. None: there is none."""
    match = None if value is None else _HTTP.fullmatch(text(value))
    if value is not None and (match is None or int(match["port"]) > 65535):
        raise ValueError("must be None, or like '8080', '0.0.0.0:8080' or '[::1]:8080'")
    return None if value is None else str(value)


def names(value: object) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, list | tuple):
        raise ValueError("must be a list of dotted names")
    if not all(isinstance(name, str) and name for name in value):
        raise ValueError("must be a list of dotted names")
    return tuple(value)


def paths(value: object) -> tuple[str, ...]:
    if isinstance(value, str | Path) or not isinstance(value, list | tuple):
        raise ValueError("must be a list of paths")
    if not all(isinstance(path, str | Path) and str(path) for path in value):
        raise ValueError("must be a list of paths")
    return tuple(map(str, value))


_NOTHING: Any = object()

# Values that mean the same as long as they are the same object.
_CONSTANT = frozenset({bool, int, float, str})

# What Django's lazy settings have looked up so far; they empty it themselves whenever a setting changes. A call
# reads seven settings: straight from here that costs 1 us, through the lazy object 10.
_looked_up: dict[str, Any] = object.__getattribute__(django_settings, "__dict__")


def read(name: str, default: Any = None) -> Any:
    """The setting as the project has it now, or `default`."""
    value = _looked_up.get(name, _NOTHING)
    if value is not _NOTHING:
        return value
    wrapped = _looked_up.get("_wrapped")
    if type(wrapped) is DjangoSettings and name not in vars(wrapped):
        return default  # (to be told so by an AttributeError takes longer)
    return getattr(django_settings, name, default)


class Setting(Generic[T]):
    """One setting: reads `ZTASKD_<NAME>`, checks it, falls back to its default."""

    def __init__(self, default: Any, parse: Callable[[object], T]) -> None:
        self.default = default
        self.parse = parse
        self._parsed: tuple[Any, Any] = (_NOTHING, None)  # the last value read, and what it means

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = PREFIX + name.upper()

    @overload
    def __get__(self, instance: None, owner: type) -> Setting[T]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: object | None, owner: type) -> Setting[T] | T:
        if instance is None:
            return self
        raw = read(self.name, self.default)
        seen, value = self._parsed
        if raw is seen:
            return value
        try:
            value = self.parse(raw)
        except ValueError as error:
            raise ImproperlyConfigured(f"{self.name} {error}") from None
        if type(raw) in _CONSTANT:
            self._parsed = raw, value
        return value


class Settings:
    """What a project can set. The comment is the reason for the default."""

    # django-ztask's own default. (5555 is Flower's default too: a busy port is reported with its holder.)
    url = Setting("tcp://127.0.0.1:5555", urls)
    always_eager = Setting(False, boolean)
    disabled = Setting(False, boolean)
    # django-ztask's own: five retries, five seconds apart.
    retry_count = Setting(5, count)
    retry_after = Setting(5, seconds)
    on_load = Setting((), names)
    # The alias of the journal's database. A busy SQLite site can give the journal a file of its own.
    database = Setting("default", text)
    # False: calls return before their rows are committed, and lose them when the process is killed.
    confirm = Setting(True, boolean)
    # How often a task may take its process along before it is FAILED: bad luck strikes twice, not three times.
    max_crashes = Setting(3, positive)
    # Slots: enough to wait for a hundred sockets at once, few enough for a database's default connections.
    concurrency = Setting(100, positive)
    # True as it always was; False refuses pickle in callers and nodes.
    pickle = Setting(True, boolean)
    # Modules with task functions that are not in a `tasks` module of an installed app.
    imports = Setting((), names)
    # Seconds a stopping node waits for what runs: below the 90 s and 10 s * n of common supervisors.
    grace = Setting(30, seconds)
    # Seconds a node on another host counts as alive after its last renewal.
    lease = Setting(15, lease_seconds)
    # Seconds for which succeeded tasks are kept: a day to look at them. None keeps them for ever.
    keep = Setting(86400, keep_seconds)
    # Bytes that must be free on the disk of an SQLite journal for tasks to be started: room for the ends of
    # what runs, for the write-ahead log, and for a person to react. 0 switches the watch off.
    headroom = Setting(32 * 2**20, count)
    # How nice child processes are: where both want all of a processor, who waits for a page has ten times as much.
    child_nice = Setting(10, count)
    # Seconds after which a hub that does not turn is blocked: who waits for a page notices. 0: nobody watches.
    hub_blocked_after = Setting(0.25, seconds)
    # Seconds after which the process ends when a task that blocks it cannot be ended. None: it is only logged.
    exit_when_blocked = Setting(None, some_seconds)
    # Where probes and metrics are served; the flag --http goes before it. None: nobody asked for it.
    http = Setting(None, http_address)
    # Files that are no Python code, and change what the code does (a .env, a YAML): saved, the daemon reloads.
    watch = Setting((), paths)
    # The node's name; None is the host's name. One node of a name at a time.
    node = Setting(None, node_name)

    def __iter__(self) -> Iterator[Setting[Any]]:
        return (value for value in vars(Settings).values() if isinstance(value, Setting))


conf = Settings()


def key(purpose: str) -> bytes:
    """The key that signs."""
    return _derive(purpose, read("SECRET_KEY"))


def keys(purpose: str) -> list[bytes]:
    """The signing keys of one purpose, from SECRET_KEY (first: it signs) and SECRET_KEY_FALLBACKS."""
    secrets = [django_settings.SECRET_KEY, *django_settings.SECRET_KEY_FALLBACKS]
    return [_derive(purpose, secret) for secret in secrets]


@lru_cache(maxsize=64)
def _derive(purpose: str, secret: str | bytes) -> bytes:
    raw = secret.encode() if isinstance(secret, str) else secret
    return hashlib.sha256(b"ztaskd." + purpose.encode() + b"\0" + raw).digest()
