"""Each setting: its default, its reading when asked for, and what it refuses."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from django_ztask.conf import Settings, conf, key, keys

NAN, INF = float("nan"), float("inf")

DEFAULTS = {
    "ZTASKD_URL": ("tcp://127.0.0.1:5555",),
    "ZTASKD_ALWAYS_EAGER": False,
    "ZTASKD_DISABLED": False,
    "ZTASKD_RETRY_COUNT": 5,
    "ZTASKD_RETRY_AFTER": 5.0,
    "ZTASKD_ON_LOAD": (),
    "ZTASKD_DATABASE": "default",
    "ZTASKD_CONFIRM": True,
    "ZTASKD_CONCURRENCY": 100,
    "ZTASKD_MAX_CRASHES": 3,
    "ZTASKD_PICKLE": True,
    "ZTASKD_IMPORTS": (),
    "ZTASKD_GRACE": 30.0,
    "ZTASKD_KEEP": 86400.0,
    "ZTASKD_HEADROOM": 32 * 2**20,
    "ZTASKD_LEASE": 15.0,
    "ZTASKD_CHILD_NICE": 10,
    "ZTASKD_HUB_BLOCKED_AFTER": 0.25,
    "ZTASKD_EXIT_WHEN_BLOCKED": None,
    "ZTASKD_HTTP": None,
    "ZTASKD_WATCH": (),
    "ZTASKD_NODE": socket.gethostname(),
}

GOOD: list[tuple[str, Any, Any]] = [
    ("ZTASKD_URL", "ipc:///run/ztaskd/node", ("ipc:///run/ztaskd/node",)),
    ("ZTASKD_URL", ["tcp://a:1", "tcp://b.example:65535"], ("tcp://a:1", "tcp://b.example:65535")),
    ("ZTASKD_URL", ("tcp://[::1]:5555",), ("tcp://[::1]:5555",)),
    ("ZTASKD_URL", "ipc://" + "/" + "x" * 106, ("ipc:///" + "x" * 106,)),
    ("ZTASKD_ALWAYS_EAGER", True, True),
    ("ZTASKD_DISABLED", True, True),
    ("ZTASKD_RETRY_COUNT", 0, 0),
    ("ZTASKD_RETRY_AFTER", 0, 0.0),
    ("ZTASKD_RETRY_AFTER", 0.25, 0.25),
    ("ZTASKD_ON_LOAD", ["a.b", "c.D"], ("a.b", "c.D")),
    ("ZTASKD_DATABASE", "journal", "journal"),
    ("ZTASKD_CONCURRENCY", 1, 1),
    ("ZTASKD_MAX_CRASHES", 1, 1),
    ("ZTASKD_PICKLE", False, False),
    ("ZTASKD_IMPORTS", ("a.b",), ("a.b",)),
    ("ZTASKD_GRACE", 0, 0.0),
    ("ZTASKD_KEEP", None, None),
    ("ZTASKD_KEEP", 0, 0.0),
    ("ZTASKD_KEEP", 3600, 3600.0),
    ("ZTASKD_HEADROOM", 0, 0),
    ("ZTASKD_LEASE", 60, 60.0),
    ("ZTASKD_HUB_BLOCKED_AFTER", 0, 0.0),
    ("ZTASKD_HUB_BLOCKED_AFTER", 2, 2.0),
    ("ZTASKD_EXIT_WHEN_BLOCKED", 0.5, 0.5),
    ("ZTASKD_HTTP", "0.0.0.0:8080", "0.0.0.0:8080"),
    ("ZTASKD_WATCH", [Path("/a/.env"), "flags.yaml"], ("/a/.env", "flags.yaml")),
    ("ZTASKD_NODE", "web-1.example_x@y", "web-1.example_x@y"),
]

BAD: list[tuple[str, Any]] = [
    *[("ZTASKD_EXIT_WHEN_BLOCKED", value) for value in (0, -1, "5", True, NAN, INF)],
    *[("ZTASKD_HTTP", value) for value in (8080, False, "", b"8080", "host")],
    *[("ZTASKD_WATCH", value) for value in (None, "flags.yaml", Path("flags.yaml"), [1], [""], {"a": 1})],
    *[("ZTASKD_KEEP", value) for value in (-1, True, "1d", float("nan"))],
    *[("ZTASKD_HEADROOM", value) for value in (-1, None, 1.5, True, "32M")],
    *[("ZTASKD_URL", value) for value in (None, "", 5555, [], [None], {}, b"tcp://a:1")],
    *[
        ("ZTASKD_URL", value)
        for value in (
            "tcp://a",
            "tcp://a:",
            "tcp://a:0",
            "tcp://a:65536",
            "tcp://a:5555/",
            "tcp://a:5555 ",
            "tcp://a:5555\n",
            "tcp://::1:5555",
            "tcp:// a:1",
            "udp://a:1",
            "ipc://relative",
            "ipc://",
            "ipc:///" + "x" * 107,
            "127.0.0.1:5555",
        )
    ],
    ("ZTASKD_URL", ["tcp://a:1", "tcp://b"]),
    *[("ZTASKD_ALWAYS_EAGER", value) for value in (1, 0, "True", None)],
    *[("ZTASKD_DISABLED", value) for value in (1, "no", None)],
    *[("ZTASKD_PICKLE", value) for value in (0, "False", None)],
    *[("ZTASKD_RETRY_COUNT", value) for value in (-1, 1.0, "5", True, None)],
    *[
        (name, value)
        for name in ("ZTASKD_RETRY_AFTER", "ZTASKD_GRACE", "ZTASKD_LEASE", "ZTASKD_HUB_BLOCKED_AFTER")
        for value in (-0.1, "5", True, None, NAN, INF, 10**400)
    ],
    *[("ZTASKD_CONCURRENCY", value) for value in (0, -5, 1.5, "100", True, None)],
    *[("ZTASKD_MAX_CRASHES", value) for value in (0, -1, "3", None)],
    *[
        (name, value)
        for name in ("ZTASKD_ON_LOAD", "ZTASKD_IMPORTS")
        for value in ("a.b", None, [1], [""], {"a.b"}, 7)
    ],
    *[("ZTASKD_DATABASE", value) for value in ("", None, 1)],
    *[("ZTASKD_NODE", value) for value in ("", "a b", "a/b", "x" * 101, 7, "a\n")],
]


def read(name: str) -> Any:
    return getattr(conf, name.removeprefix("ZTASKD_").lower())


def test_every_setting_is_in_this_test() -> None:
    assert {setting.name for setting in Settings()} == set(DEFAULTS)


@pytest.mark.parametrize(("name", "default"), DEFAULTS.items())
def test_the_default(name: str, default: Any) -> None:
    with override_settings():
        if hasattr(settings, name):
            delattr(settings, name)
        assert read(name) == default
        assert type(read(name)) is type(default)


@pytest.mark.parametrize(("name", "value", "expected"), GOOD)
def test_a_setting_is_read_when_it_is_asked_for(name: str, value: Any, expected: Any) -> None:
    before = read(name)
    with override_settings(**{name: value}):
        assert read(name) == expected
        assert type(read(name)) is type(expected)
    assert read(name) == before


def identify(value: Any) -> str:
    return type(value).__name__ if not isinstance(value, str) else value[:20]


@pytest.mark.parametrize(("name", "value"), BAD, ids=identify)
def test_a_wrong_value_raises_improperly_configured_and_names_the_setting(name: str, value: Any) -> None:
    with override_settings(**{name: value}), pytest.raises(ImproperlyConfigured, match=f"^{name} "):
        read(name)


def test_a_setting_that_is_not_there_is_no_attribute() -> None:
    with pytest.raises(AttributeError):
        conf.nonsense  # noqa: B018


def test_keys_differ_by_purpose_and_by_secret() -> None:
    purposes = ["row", "result", "message"]
    with override_settings(SECRET_KEY="one", SECRET_KEY_FALLBACKS=[]):
        one = {keys(purpose)[0] for purpose in purposes}
    with override_settings(SECRET_KEY="two", SECRET_KEY_FALLBACKS=[]):
        two = {keys(purpose)[0] for purpose in purposes}
    assert len(one | two) == 6
    assert all(len(key) == 32 for key in one)


def test_the_secret_key_signs_and_the_fallbacks_only_verify() -> None:
    with override_settings(SECRET_KEY="old"):
        old = keys("row")[0]
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["old", b"older"]):
        assert len(keys("row")) == 3
        assert keys("row")[0] != old
        assert keys("row")[1] == old


@pytest.mark.parametrize("value", [0, 0.5, 0.0])
def test_a_lease_too_short_to_be_renewed_is_refused(value: float) -> None:
    with override_settings(ZTASKD_LEASE=value), pytest.raises(ImproperlyConfigured, match="1 second or more"):
        _ = conf.lease


def test_a_setting_follows_whatever_changes_it() -> None:
    def seen() -> tuple[int, int, tuple[str, ...]]:
        return conf.retry_count, conf.concurrency, conf.imports

    assert seen() == (2, 100, ())
    with override_settings(ZTASKD_RETRY_COUNT=7, ZTASKD_CONCURRENCY=3, ZTASKD_IMPORTS=["a"]):
        assert seen() == (7, 3, ("a",))
        settings.ZTASKD_IMPORTS.append("b")
        settings.ZTASKD_CONCURRENCY = 4
        assert seen() == (7, 4, ("a", "b"))
        with override_settings():
            del settings.ZTASKD_CONCURRENCY
            del settings.ZTASKD_RETRY_COUNT
            assert seen() == (5, 100, ("a", "b"))
        assert seen() == (7, 4, ("a", "b"))
    assert seen() == (2, 100, ())


def test_what_was_wrong_once_may_be_right_the_next_time() -> None:
    for _ in range(2):
        with override_settings(ZTASKD_RETRY_COUNT=True), pytest.raises(ImproperlyConfigured):
            _ = conf.retry_count
        with override_settings(ZTASKD_RETRY_COUNT=1):
            assert conf.retry_count == 1


def test_a_new_secret_key_signs_from_then_on() -> None:
    before = key("row")
    with override_settings(SECRET_KEY="another"):
        assert key("row") == keys("row")[0] != before
    assert key("row") == keys("row")[0] == before
    with override_settings(SECRET_KEY=""), pytest.raises(ImproperlyConfigured):
        key("row")
