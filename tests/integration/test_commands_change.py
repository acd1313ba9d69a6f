"""purge and cancel as they are typed: what they ask, what they change, what they leave."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import pytest

from django_ztask import cancelling
from django_ztask.lifecycle import Kind
from django_ztask.models import Attempt, Task
from tests.integration.commanding import Command, command, listed
from tests.integration.helpers import claim, claim_new, failed, finish, new_task, record, row, status

pytestmark = pytest.mark.both_databases

__all__ = ["command"]


def test_purge_deletes_what_it_is_told_to_and_asks_before(command: Command, monkeypatch: Any) -> None:
    ids = [failed(function=f"shop.{name}") for name in "aab"]
    [queued] = record(new_task(1))
    code, text = command("purge")
    assert (code, "--all" in text) == (2, True)
    code, text = command("purge", "--function", "shop.a", "--dry-run")
    assert "2 FAILED tasks would be deleted" in text
    code, text = command("purge", "--function", "shop.a")
    assert (code, "--yes" in text) == (2, True), "there is no terminal here"
    assert Task.objects.count() == 4

    def answering(answers: Sequence[str]) -> None:
        left = list(answers)
        monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
        monkeypatch.setattr("builtins.input", lambda prompt: left.pop(0))

    answering(["", "y"])
    assert command("purge", "--function", "shop.a")[0] == 1
    assert Task.objects.count() == 4
    assert "2 FAILED tasks deleted" in command("purge", "--function", "shop.a")[1]
    assert set(Task.objects.values_list("uuid", flat=True)) == {ids[2], queued}
    assert Attempt.objects.count() == 1


def test_purge_takes_what_has_succeeded_only_when_told_and_keeps_to_its_limit(command: Command) -> None:
    for _ in range(5):
        finish(claim_new(), Kind.SUCCESS)
    kept = failed()
    _, text = command("purge", "--status", "succeeded", "--all", "--yes", "--limit", "3")
    assert text == "3 SUCCEEDED tasks deleted\n"
    _, text = command("purge", "--status", "SUCCEEDED", "--until", "2h", "--yes")
    assert "nothing to delete" in text
    _, text = command("purge", "--status", "SUCCEEDED", "--since", "2h", "--yes")
    assert text == "2 SUCCEEDED tasks deleted\n"
    assert [task.uuid for task in Task.objects.all()] == [kept]


def test_purge_with_a_limit_deletes_what_it_has_shown(command: Command) -> None:
    first = failed(function="shop.called_late")
    failed(function="shop.called_early", created=1_000_000_000.0)
    _, text = command("purge", "--all", "--limit", "1", "--dry-run")
    [shown] = [name for name in ("shop.called_late", "shop.called_early") if name in text]
    assert command("purge", "--all", "--limit", "1", "--yes") == (0, "1 FAILED task deleted\n")
    assert not Task.objects.filter(function_name=shown).exists()
    assert Task.objects.exclude(uuid=first).count() == 1


def test_hundreds_are_purged_in_several_transactions(command: Command) -> None:
    record(*(new_task(n) for n in range(450)))
    Task.objects.update(status="FAILED")
    assert command("purge", "--all", "--yes")[1] == "450 FAILED tasks deleted\n"
    assert Task.objects.count() == 0


def test_cancel_takes_queued_tasks_at_once_and_asks_running_ones(command: Command) -> None:
    running = claim_new(function="shop.a")
    queued = record(*(new_task(n, function="shop.a") for n in range(3)), new_task(4, function="shop.b"))
    ended = failed(function="shop.a")
    assert command("cancel")[0] == 2
    _, text = command("cancel", "--function", "shop.a", "--dry-run")
    assert "3 QUEUED tasks and 1 RUNNING task would be cancelled" in text
    assert command("cancel", "--function", "shop.a")[0] == 2, "there is no terminal to ask at"
    assert not Task.objects.filter(status="CANCELLED").exists()
    assert command("cancel", queued[3]) == (0, "1 task cancelled\n")
    _, text = command("cancel", "--function", "shop.?", "--yes")
    assert text == "3 tasks cancelled; 1 running task asked to end\n"
    assert Task.objects.filter(uuid__in=queued, status="CANCELLED").count() == 4
    assert Task.objects.get(uuid=running.id).cancel_requested is not None
    assert "cancelled     asked for" in command("show", running.id)[1]
    assert "nothing to cancel" in command("cancel", "--id", ended)[1]
    assert listed(command, "--status", "CANCELLED") == list(reversed(queued))


def claiming(monkeypatch: Any, *task_ids: str) -> None:
    """A node claims these after they were looked for, and before the first of them is cancelled."""
    left = list(task_ids)

    def cancel(*arguments: Any) -> Any:
        if left:
            assert len(claim(*left)) == len(left)
            left.clear()
        return real(*arguments)

    real = cancelling.cancel
    monkeypatch.setattr(cancelling, "cancel", cancel)


def test_cancel_of_what_is_queued_leaves_alone_what_a_node_claims_meanwhile(
    command: Command, monkeypatch: Any
) -> None:
    ids = record(*(new_task(n) for n in range(3)))
    claiming(monkeypatch, *ids[:2])
    _, text = command("cancel", "--status", "QUEUED", "--all", "--yes")
    assert text == "1 task cancelled; 2 had started or ended before\n"
    assert [status(task_id) for task_id in ids] == ["RUNNING", "RUNNING", "CANCELLED"]
    assert [row(task_id).cancel_requested for task_id in ids[:2]] == [None, None]


def test_cancel_of_both_asks_each_running_task_whatever_started_meanwhile(
    command: Command, monkeypatch: Any
) -> None:
    queued = record(*(new_task(n) for n in range(3)))
    running = [claim_new().id for _ in range(2)]
    claiming(monkeypatch, *queued[:2])
    assert command("cancel", "--all", "--yes") == (0, "1 task cancelled; 4 running tasks asked to end\n")
    assert Task.objects.filter(uuid__in=[*queued[:2], *running], cancel_requested=None).count() == 0
    _, text = command("cancel", "--all", "--yes")
    assert "nothing to cancel (4 running tasks asked to end before)" in text
