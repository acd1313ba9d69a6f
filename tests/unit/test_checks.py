"""The system checks: each finds its mistake, says what it is, and hints at what to do."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest
from django.conf import settings
from django.core.checks import run_checks
from django.core.checks.messages import DEBUG, ERROR, INFO, WARNING, CheckMessage
from django.test import override_settings

from django_ztask import checks

SQLITE = "django.db.backends.sqlite3"
GOOD = {
    "ENGINE": SQLITE,
    "NAME": "x",
    "OPTIONS": {"transaction_mode": "IMMEDIATE", "init_command": "PRAGMA journal_mode=WAL;"},
}


def checked(**changed: Any) -> list[CheckMessage]:
    databases = changed.pop("DATABASES", settings.DATABASES)  # (override_settings warns about this one)
    with mock.patch.object(settings, "DATABASES", databases), override_settings(**changed):
        return run_checks(tags=["ztaskd"])


def only(**changed: Any) -> CheckMessage:
    messages = checked(**changed)
    assert len(messages) == 1, messages
    assert messages[0].hint
    return messages[0]


def databases(**changed: Any) -> dict[str, Any]:
    return {"DATABASES": {"default": {**GOOD, **changed}}}


def test_the_settings_of_these_tests_are_clean() -> None:
    assert checked() == []


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("ZTASKD_RETRYCOUNT", "ZTASKD_RETRY_COUNT"),
        ("ZTASKD_URLS", "ZTASKD_URL"),
        ("ZTASKD_ALWAY_EAGER", "ZTASKD_ALWAYS_EAGER"),
        ("ZTASKD_CONCURENCY", "ZTASKD_CONCURRENCY"),
    ],
)
def test_w001_asks_did_you_mean(name: str, meant: str) -> None:
    message = only(**{name: 1})
    assert (message.id, message.level) == ("ztaskd.W001", WARNING)
    assert name in message.msg
    assert message.hint == f"Did you mean {meant}?"


def test_w001_lists_what_is_known_when_nothing_is_close() -> None:
    message = only(ZTASKD_XYZZY=1)
    assert message.id == "ztaskd.W001"
    assert "ZTASKD_URL" in str(message.hint)
    assert "ZTASKD_PICKLE" in str(message.hint)


@pytest.mark.parametrize(
    ("name", "value", "default"),
    [
        ("ZTASKD_URL", "tcp://nowhere", "tcp://127.0.0.1:5555"),
        ("ZTASKD_RETRY_COUNT", "five", "5"),
        pytest.param("ZTASKD_RETRY_AFTER", 10**400, "5", id="a number too large for a float"),
        ("ZTASKD_CONCURRENCY", 0, "100"),
        ("ZTASKD_ON_LOAD", "a.b", "()"),
        ("ZTASKD_DATABASE", None, "default"),
        ("ZTASKD_NODE", "a b", "None"),
    ],
)
def test_e001_a_wrong_value_with_its_default(name: str, value: Any, default: str) -> None:
    message = only(**{name: value})
    assert (message.id, message.level) == ("ztaskd.E001", ERROR)
    assert message.msg.startswith(name)
    assert default in str(message.hint)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("no.such.module", "cannot be imported"),
        ("nodots", "cannot be imported"),
        ("tests.project.shop.tasks.missing", "cannot be imported"),
        ("", "must be a list"),
        ("tests.project.settings.SECRET_KEY", "cannot be called"),
    ],
)
def test_e002_what_cannot_be_called_when_the_daemon_loads(path: str, words: str) -> None:
    message = only(ZTASKD_ON_LOAD=[path])
    assert message.id == ("ztaskd.E002" if path else "ztaskd.E001")
    assert message.level == ERROR
    assert words in message.msg
    assert path in message.msg


def test_functions_and_classes_to_load_are_fine() -> None:
    paths = ["tests.project.shop.tasks.add", "tests.project.shop.models.Order"]
    assert checked(ZTASKD_ON_LOAD=paths) == []


def test_e003_a_database_that_is_not_there_with_those_that_are() -> None:
    message = only(ZTASKD_DATABASE="journal")
    assert (message.id, message.level) == ("ztaskd.E003", ERROR)
    assert "'journal'" in message.msg
    assert "default" in str(message.hint)


@pytest.mark.parametrize("engine", ["django.db.backends.dummy", "django.db.backends.nosuch"])
def test_e004_a_database_that_cannot_hold_the_journal(engine: str) -> None:
    message = only(**databases(ENGINE=engine))
    assert (message.id, message.level) == ("ztaskd.E004", ERROR)
    assert engine.rpartition(".")[2] in message.msg or "unknown" in message.msg


def test_e005_an_sqlite_without_returning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks.sqlite3, "sqlite_version_info", (3, 34, 1))
    message = only(**databases())
    assert (message.id, message.level) == ("ztaskd.E005", ERROR)
    assert "3.35" in message.msg


@pytest.mark.parametrize("options", [None, {}, {"transaction_mode": "DEFERRED"}, {"transaction_mode": None}])
def test_w002_deferred_transactions_with_the_block_to_paste(options: Any) -> None:
    message = only(**databases(OPTIONS=options))
    assert (message.id, message.level) == ("ztaskd.W002", WARNING)
    assert '"transaction_mode": "IMMEDIATE"' in str(message.hint)
    assert "journal_mode=WAL" in str(message.hint)


@pytest.mark.parametrize("mode", ["IMMEDIATE", "immediate", "EXCLUSIVE"])
def test_transactions_that_lock_when_they_begin_are_fine(mode: str) -> None:
    assert checked(**databases(OPTIONS={"transaction_mode": mode})) == []


@pytest.mark.parametrize(
    "pragma",
    [
        "PRAGMA synchronous=NORMAL",
        "PRAGMA journal_mode=WAL; pragma synchronous = normal;",
        "PRAGMA synchronous=OFF;",
        "PRAGMA synchronous = 1;",
        "PRAGMA main.synchronous=0",
    ],
)
def test_w003_less_than_full_syncing(pragma: str) -> None:
    message = only(**databases(OPTIONS={"transaction_mode": "IMMEDIATE", "init_command": pragma}))
    assert (message.id, message.level) == ("ztaskd.W003", WARNING)
    assert "power cut" in message.msg


@pytest.mark.parametrize(
    "pragma", ["PRAGMA synchronous=FULL", "PRAGMA synchronous=EXTRA", "PRAGMA synchronous=2"]
)
def test_full_syncing_is_fine(pragma: str) -> None:
    assert checked(**databases(OPTIONS={"transaction_mode": "IMMEDIATE", "init_command": pragma})) == []


def test_i001_a_journal_of_its_own_says_which_transactions_count() -> None:
    message = only(
        DATABASES={"default": {"ENGINE": "django.db.backends.postgresql"}, "journal": GOOD},
        ZTASKD_DATABASE="journal",
    )
    assert (message.id, message.level) == ("ztaskd.I001", INFO)
    assert DEBUG < INFO
    assert "atomic(using='journal')" in str(message.hint)


def test_several_mistakes_are_all_reported() -> None:
    messages = checked(ZTASKD_URLL=1, ZTASKD_URL="x", ZTASKD_ON_LOAD=["a.b"], **databases(OPTIONS={}))
    assert sorted(str(message.id) for message in messages) == [
        "ztaskd.E001",
        "ztaskd.E002",
        "ztaskd.W001",
        "ztaskd.W002",
    ]
