"""Rows that are not to be run, or cannot be: they become an Outcome, and nothing of them runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings

from django_ztask import execute, serialize
from django_ztask.conf import keys
from django_ztask.decorators import task
from django_ztask.execute import CurrentTask
from django_ztask.lifecycle import Kind
from django_ztask.serialize import Payload

ID = "01931f2c-7a3b-7f00-8000-000000000001"


class Forger:
    """Its pickle, when loaded, leaves a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.fixture(autouse=True)
def own_registry(functions: dict[str, Any]) -> None:
    """Task functions of one test are unknown to the next."""


def sign(payload: Payload, name: str = "t.f") -> str:
    return serialize.mac(ID, name, payload, keys("row")[0])


@pytest.mark.parametrize("changed", ["id", "name", "codec", "args", "kwargs", "mac", "key"])
def test_a_row_whose_mac_does_not_verify_is_refused_and_nothing_runs(changed: str) -> None:
    ran: list[Any] = []
    task(name="t.f")(lambda *args, **kwargs: ran.append(args))
    task(name="t.g")(lambda *args, **kwargs: ran.append(args))
    good = {"codec": "json", "args": "[1]", "kwargs": "{}"}
    mac = sign(Payload(**good))
    other = {"codec": "pickle", "args": "[2]", "kwargs": '{"a":1}'}
    payload = Payload(**{**good, **({changed: other[changed]} if changed in other else {})})
    name = "t.g" if changed == "name" else "t.f"
    current = CurrentTask("another" if changed == "id" else ID, name, 1, 0)
    with override_settings(SECRET_KEY="another" if changed == "key" else "only for tests"):
        outcome = execute.run(current, payload, "é" if changed == "mac" else mac)
    assert outcome.kind is Kind.REFUSED
    assert outcome.exception is not None
    assert "SECRET_KEY" in outcome.exception
    assert ran == []


def test_a_row_signed_before_the_secret_key_was_rotated_runs() -> None:
    task(name="t.f")(lambda: None)
    payload = serialize.dump_call((), {})
    with override_settings(SECRET_KEY="old"):
        mac = sign(payload)
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["old"]):
        assert execute.run(CurrentTask(ID, "t.f", 1, 0), payload, mac).kind is Kind.SUCCESS


def test_a_forged_pickle_is_never_loaded(tmp_path: Path) -> None:
    task(name="t.f")(lambda value: None)
    payload = serialize.dump_call([Forger(tmp_path / "marker")], {})
    assert execute.run(CurrentTask(ID, "t.f", 1, 0), payload, "0" * 64).kind is Kind.REFUSED
    assert not (tmp_path / "marker").exists()


def test_with_pickle_off_not_even_a_signed_pickle_is_loaded(tmp_path: Path) -> None:
    task(name="t.f")(lambda value: None)
    payload = serialize.dump_call([Forger(tmp_path / "marker")], {})
    with override_settings(ZTASKD_PICKLE=False):
        outcome = execute.run(CurrentTask(ID, "t.f", 1, 0), payload, sign(payload))
    assert outcome.kind is Kind.REFUSED
    assert outcome.exception is not None
    assert "ZTASKD_PICKLE" in outcome.exception
    assert not (tmp_path / "marker").exists()
    assert execute.run(CurrentTask(ID, "t.f", 1, 0), payload, sign(payload)).kind is Kind.SUCCESS
    assert (tmp_path / "marker").exists()


def test_an_unknown_task_is_unknown_not_failed() -> None:
    payload = serialize.dump_call((), {})
    outcome = execute.run(CurrentTask(ID, "t.missing", 1, 0), payload, sign(payload, "t.missing"))
    assert outcome.kind is Kind.UNKNOWN
    assert outcome.exception is not None
    assert "t.missing" in outcome.exception


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("SystemExit", Kind.UNKNOWN),
        ("GeneratorExit", Kind.UNKNOWN),
        ("TaskInterrupted", Kind.INTERRUPTED),  # the node stopped while the module was being imported
    ],
)
def test_nothing_that_an_import_raises_ends_the_slot(
    error: str, kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    module = f"raises_{error.lower()}"
    (tmp_path / f"{module}.py").write_text(
        f"from django_ztask.errors import TaskInterrupted\nraise {error}\n"
    )
    payload = serialize.dump_call((), {})
    name = f"{module}.work"
    assert execute.run(CurrentTask(ID, name, 1, 0), payload, sign(payload, name)).kind is kind


def test_a_payload_that_cannot_be_decoded_ends_as_an_outcome() -> None:
    task(name="t.f")(lambda: None)
    for payload in (Payload("pickle", "!!", "!!"), Payload("json", "[", "{}"), Payload("yaml", "", "")):
        outcome = execute.run(CurrentTask(ID, "t.f", 1, 0), payload, sign(payload))
        assert outcome.kind in (Kind.FAILURE, Kind.REFUSED)
