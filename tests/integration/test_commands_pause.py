"""pause and resume as they are typed, and what the other commands say of a paused task; no node is there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction

from django_ztask import pauses
from django_ztask.models import Pause
from tests.integration.commanding import Command, command, listed
from tests.integration.helpers import claim, failed, finish, new_task, record, status
from ztaskd.commands import telling
from ztaskd.lease import Lease

pytestmark = pytest.mark.both_databases

__all__ = ["command"]


def mail(count: int) -> list[str]:
    return record(*[new_task(n, queue="mail") for n in range(count)])


def put(*ids: str) -> None:
    with transaction.atomic():
        assert pauses.put_aside(connection, ids) == len(ids)


def test_it_says_what_was_changed_and_what_waits(command: Command) -> None:
    ids = mail(3)
    claim(ids[0])
    code, text = command("pause", "--queue", "mail", "--reason", "it is down")
    assert code == 0
    assert "queue mail is paused from now on; 2 tasks of it wait, 1 still runs\n" in text
    assert "to go on: ztaskd resume --queue mail" in text
    assert "no daemon runs" in text
    code, text = command("pause", "--queue", "mail", "--reason", "another")
    assert code == 0
    assert "queue mail is paused since 20" in text
    assert "(it is down); 2 tasks of it wait" in text
    code, text = command("resume", "--queue", "mail")
    assert (code, "queue mail goes on: 2 tasks have waited" in text) == (0, True)
    code, text = command("resume", "--queue", "mail")
    assert (code, text) == (0, "queue mail was not paused\n")
    assert Pause.objects.count() == 0


def test_a_queue_that_nobody_has_heard_of_can_be_paused_and_one_that_is_none_cannot(command: Command) -> None:
    assert "there is no task of this queue (yet)" in command("pause", "--queue", "it's new")[1]
    assert "to go on: ztaskd resume --queue 'it'\"'\"'s new'" in command("pause", "--queue", "it's new")[1]
    for name in ("", "x" * 101, "\x1b[2J"):
        with pytest.raises(SystemExit) as exit:
            command("pause", "--queue", name)
        assert exit.value.code == 2
    assert command("pause", "--reason", "\udcff")[0] == 2
    assert [pause.queue for pause in pauses.current(connection)] == ["it's new"]


def test_everything_and_queues_are_pauses_of_their_own(command: Command) -> None:
    mail(2)
    record()
    assert command("pause", "--list") == (0, "nothing is paused\n")
    assert "everything is paused from now on; 3 tasks wait" in command("pause")[1]
    command("pause", "--queue", "mail", "--reason", "it is down")
    lines = command("pause", "--list")[1].splitlines()
    assert [line.split()[0] for line in lines] == ["QUEUE", "(everything)", "mail"]
    assert lines[2].endswith("it is down")
    text = command("resume")[1]
    assert "everything goes on: 3 tasks have waited" in text
    assert "1 pause in force: queue mail (ztaskd resume --all ends all)" in text
    command("pause")
    text = command("resume", "--all")[1]
    assert ("queue mail goes on" in text, "everything goes on" in text) == (True, True)
    assert command("resume", "--all") == (0, "nothing was paused\n")


def test_what_has_waited_is_counted_before_a_node_is_told_and_runs_it(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = mail(2)

    def node_runs_them(*arguments: Any) -> tuple[list[str], list[str]]:
        for task in claim(*ids):
            finish(task)
        return ["web1"], []

    command("pause", "--queue", "mail")
    monkeypatch.setattr(telling, "tell", node_runs_them)
    assert "queue mail goes on: 2 tasks have waited" in command("resume", "--queue", "mail")[1]
    assert status(ids[0]) == "SUCCEEDED"


def test_a_node_that_does_not_answer_is_named(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(telling, "PATIENCE", 0.05)
    Lease("its-boot", "web9", f"ipc://{tmp_path}/nobody", 600.0).register(connection)
    text = command("pause", "--queue", "mail")[1]
    assert "the node web9 (pid " in text
    assert (
        "has not said that it knows: if it lives and can read the journal, it starts nothing of it any more"
        in text
    )
    [said] = [json.loads(line) for line in command("resume", "--queue", "mail", "--json")[1].splitlines()]
    assert (said["told"], [name[:4] for name in said["silent"]]) == ([], ["web9"])


def test_for_programs_there_are_objects(command: Command) -> None:
    mail(2)

    def objects(*arguments: str) -> list[dict[str, Any]]:
        code, text = command(*arguments, "--json")
        assert code == 0
        return [json.loads(line) for line in text.splitlines()]

    [made] = objects("pause", "--queue", "mail", "--reason", "why")
    assert made.pop("changed") is True
    known = {name: made[name] for name in ("queue", "reason", "queued", "running", "told", "silent")}
    assert known == {"queue": "mail", "reason": "why", "queued": 2, "running": 0, "told": [], "silent": []}
    assert made["since"].endswith("Z")
    assert objects("pause", "--queue", "mail")[0]["changed"] is False
    assert objects("pause")[0]["queue"] is None
    assert [each["queue"] for each in objects("pause", "--list")] == ["mail", None]
    assert [each["queue"] for each in objects("resume", "--all")] == ["mail", None]
    assert objects("resume", "--all") == objects("pause", "--list") == []


def test_a_task_that_was_put_aside_is_explained_shown_listed_cancelled_and_replayed(command: Command) -> None:
    first, second = mail(2)
    again = failed(queue="mail")
    command("pause", "--queue", "mail", "--reason", "it is down")
    command("replay", "--id", again)
    put(first, second, again)
    for task_id in (first, again):
        findings = json.loads(command("explain", task_id, "--json")[1])["findings"]
        assert [finding["code"] for finding in findings] == ["no-node", "paused"]
        assert "(it is down): it waits" in findings[1]["what"]
    assert "as the node takes it (put aside: its queue is paused, or was)" in command("show", first)[1]
    assert json.loads(command("show", first, "--json")[1])["pool"] == ""
    assert set(listed(command, "--queue", "mail", "--status", "QUEUED")) == {first, second, again}
    assert command("cancel", second, "--yes")[0] == 0
    assert status(second) == "CANCELLED"
    command("resume", "--queue", "mail")
    findings = json.loads(command("explain", first, "--json")[1])["findings"]
    assert "comes-back" in [finding["code"] for finding in findings]
