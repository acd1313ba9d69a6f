"""replay as it is typed: who goes on with what was stopped, and who must not."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection

from django_ztask import replays
from django_ztask.filters import Filter
from django_ztask.models import Replay, Task
from tests.integration.commanding import Command, command
from tests.integration.helpers import failed
from ztaskd.commands import replaying

pytestmark = pytest.mark.both_databases

__all__ = ["command"]

NOBODY = 2**22 + 1  # no process has this number


@pytest.fixture(autouse=True)
def own_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    """(This process keeps its own.)"""
    monkeypatch.setattr(
        replaying, "signal", SimpleNamespace(signal=lambda *_: None, SIGTERM=0, default_int_handler=None)
    )


@pytest.fixture
def ends_at_once(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a serial replay has waited for: all of it succeeds at once."""
    waited: list[str] = []

    def look(own: Any, task_id: str) -> tuple[str, int, float]:
        waited.append(task_id)
        return "SUCCEEDED", 1, 0.0

    monkeypatch.setattr(replaying.operations, "status", look)
    return waited


def stopped(serial: bool, *, queued: int = 1, pid: int = NOBODY) -> replays.Replay:
    """One without any words, whose process is gone, or (by its pid) lives."""
    begun = replays.begin(connection, Filter(), "", None, 3, serial)
    assert replays.step(connection, begun, queued, 5)
    Replay.objects.filter(id=begun.id).update(pid=pid)
    return begun


def before_step(monkeypatch: pytest.MonkeyPatch, number: int, happens: Callable[[], Any]) -> None:
    """Something happens before that step of a replay."""
    steps = []

    def step(*arguments: Any) -> Any:
        steps.append(1)
        if len(steps) == number:
            happens()
        return real(*arguments)

    real = replays.step
    monkeypatch.setattr(replays, "step", step)


def unfinished() -> list[int]:
    return [each.id for each in replays.unfinished(connection)]


def test_one_that_was_suspended_and_taken_over_stops_and_says_who_goes_on(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [failed() for _ in range(3)]
    before_step(monkeypatch, 2, lambda: Replay.objects.update(by="somebody@elsewhere", pid=7))
    code, text = command("replay", "--rate", "20/s")
    assert code == 1
    assert "somebody@elsewhere (pid 7) goes on with it" in text
    assert Task.objects.filter(uuid__in=ids[1:], status="FAILED").count() == 2, "nothing more is queued"
    assert Replay.objects.get().finished is None


@pytest.mark.usefixtures("ends_at_once")
@pytest.mark.parametrize("serial", [False, True])
def test_one_at_a_time_goes_on_as_such_and_no_other_one_does(command: Command, serial: bool) -> None:
    for _ in range(3):
        failed()
    begun = stopped(serial)
    others, same = (["--serial"], [])[:: -1 if serial else 1]
    _, text = command("replay", *others)
    assert "going on" not in text
    assert unfinished() == [begun.id]
    failed()
    Task.objects.update(status="FAILED")
    _, text = command("replay", *same)
    assert f"going on with replay {begun.id}" in text
    assert unfinished() == []


def test_one_at_a_time_that_goes_on_waits_for_the_task_that_it_left(
    command: Command, ends_at_once: list[str]
) -> None:
    ids = [failed() for _ in range(3)]
    stopped(serial=True)
    _, text = command("replay", "--serial")
    assert ends_at_once == ids
    assert "3 SUCCEEDED" in text


@pytest.mark.usefixtures("ends_at_once")
def test_a_new_one_closes_what_was_stopped_of_either_kind(command: Command) -> None:
    for _ in range(3):
        failed()
    stopped(serial=True)
    assert "2 tasks queued again" in command("replay", "--anew")[1]
    assert unfinished() == []


def living(serial: bool = True) -> replays.Replay:
    """Another process's, which gives signs."""
    begun = replays.begin(connection, Filter(), "--queue other", None, 1, serial)
    Replay.objects.filter(id=begun.id).update(by="somebody@elsewhere", pid=7, seen=time.time())
    return begun


def test_one_at_a_time_refuses_when_another_begins_beside_it_whose_id_is_higher(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_id = failed()
    real = replays.begin

    def begin(*arguments: Any) -> Any:
        begun = real(*arguments)
        other = real(connection, Filter(), "--queue other", None, 1, True)
        Replay.objects.filter(id=other.id).update(by="somebody@elsewhere", pid=7, seen=time.time())
        return begun

    monkeypatch.setattr(replays, "begin", begin)
    code, text = command("replay", "--serial")
    assert (code, "somebody@elsewhere, pid 7" in text) == (1, True)
    assert Task.objects.get(uuid=task_id).status == "FAILED"
    assert len(unfinished()) == 1, "its own is closed"


def test_one_at_a_time_is_not_gone_on_with_beside_another(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which begins while the first is taken over."""
    for _ in range(3):
        failed()
    begun = stopped(serial=True)
    real = replays.take_over

    def take_over(*arguments: Any) -> bool:
        taken = real(*arguments)
        living()
        return taken

    monkeypatch.setattr(replays, "take_over", take_over)
    code, text = command("replay", "--serial")
    assert (code, "somebody@elsewhere, pid 7" in text) == (1, True)
    assert begun.id in unfinished(), "it can be gone on with later"
    assert Task.objects.filter(status="FAILED").count() == 2
