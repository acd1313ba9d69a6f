"""What cancel and purge tell programs, and that these are never asked."""

from __future__ import annotations

import json
from typing import Any

import pytest

from django_ztask.models import Task
from tests.integration.commanding import Command, command
from tests.integration.helpers import claim, failed, new_task, record, status

pytestmark = pytest.mark.both_databases

__all__ = ["command"]


def told(answer: tuple[int, str]) -> dict[str, Any]:
    code, text = answer
    assert code == 0, text
    found = json.loads(text)
    assert isinstance(found, dict)
    return found


def test_purge_tells_programs_what_it_has_deleted(command: Command) -> None:
    for name in "aab":
        failed(function=f"shop.{name}")
    code, text = command("purge", "--function", "shop.a", "--json")
    assert (code, "--yes" in text) == (2, True)
    found = told(command("purge", "--function", "shop.a", "--json", "--dry-run"))
    assert {name: found[name] for name in ("status", "matched", "deleted", "dry_run")} == {
        "status": "FAILED",
        "matched": 2,
        "deleted": 0,
        "dry_run": True,
    }
    [group] = found["groups"]
    assert (group["count"], group["function"]) == (2, "shop.a")
    assert group["oldest"] <= group["newest"]
    assert Task.objects.count() == 3
    assert told(command("purge", "--function", "shop.a", "--json", "--yes"))["deleted"] == 2
    assert Task.objects.count() == 1
    found = told(command("purge", "--function", "shop.a", "--json", "--yes"))
    assert (found["matched"], found["deleted"], found["groups"]) == (0, 0, [])


def test_cancel_tells_programs_what_became_of_each(command: Command) -> None:
    queued = record(new_task(1), new_task(2))
    [running] = record(new_task(3))
    claim(running)
    code, text = command("cancel", "--all", "--json")
    assert (code, "--yes" in text) == (2, True)
    found = told(command("cancel", "--all", "--json", "--dry-run"))
    assert (found["matched"], found["cancelled"], found["dry_run"]) == ({"QUEUED": 2, "RUNNING": 1}, 0, True)
    assert [group["count"] for group in found["groups"]["RUNNING"]] == [1]
    assert status(queued[0]) == "QUEUED"
    found = told(command("cancel", queued[0], "--json"))
    assert (found["matched"], found["cancelled"]) == ({"QUEUED": 1, "RUNNING": 0}, 1)
    found = told(command("cancel", "--all", "--yes", "--json"))
    assert (found["cancelled"], found["asked_to_end"], found["ended_before"]) == (1, 1, 0)
    assert (status(queued[1]), status(running)) == ("CANCELLED", "RUNNING")
    found = told(command("cancel", "--all", "--yes", "--json"))
    assert sum(found["matched"].values()) == 0
