"""Units have no database, no socket and no sleep: what tries to have one fails its test."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import zmq
from django.db.backends.base.base import BaseDatabaseWrapper

from django_ztask import registry
from django_ztask.decorators import TaskFunction


def _refuse(what: str) -> Callable[..., Any]:
    def refused(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError(f"a unit test has no {what}")

    return refused


@pytest.fixture(autouse=True)
def pure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BaseDatabaseWrapper, "connect", _refuse("database"))
    monkeypatch.setattr(zmq.Context, "socket", _refuse("socket"))
    monkeypatch.setattr(time, "sleep", _refuse("sleep"))


@pytest.fixture
def functions(monkeypatch: pytest.MonkeyPatch) -> dict[str, TaskFunction[..., Any]]:
    """The registry, as empty as at the start of a process, and put back afterwards."""
    empty: dict[str, TaskFunction[..., Any]] = {}
    monkeypatch.setattr(registry, "_functions", empty)
    return empty
