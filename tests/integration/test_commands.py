"""list, show and explain as they are typed, and what they print."""

from __future__ import annotations

import json
import os
import re
import socket
from pathlib import Path

import pytest
from django.db import connection

from django_ztask import looking
from django_ztask.filters import Filter
from django_ztask.lifecycle import Kind
from django_ztask.models import Task
from tests.integration.commanding import Command, command, listed
from tests.integration.helpers import claim_new, failed, finish, new_task, record
from ztaskd.commands import printing
from ztaskd.lease import Lease

pytestmark = pytest.mark.both_databases

__all__ = ["command"]


def test_the_newest_calls_come_first_and_those_of_django_ztask_last(command: Command) -> None:
    ids = record(*(new_task(n) for n in range(4)))
    old = ["fa3c2f1e-1111-4222-8333-444455556666", "00000000-1111-4222-8333-444455556666"]
    for number, task_id in enumerate(old):
        record(new_task(1, created=1_500_000_000.0 + number))
        Task.objects.filter(created__year=2017).exclude(uuid__in=old).update(uuid=task_id)
    newest = [*reversed(ids), *reversed(old)]
    assert listed(command) == newest
    for limit in (1, 4, 5, 6):
        assert listed(command, "--limit", str(limit)) == newest[:limit]


def test_a_list_shows_only_the_state_and_the_tasks_that_are_asked_for(command: Command) -> None:
    [queued] = record(new_task(1, function="shop.a"))
    other = failed(function="shop.b")
    running = claim_new()
    done = claim_new()
    finish(done, Kind.SUCCESS, result="1")
    by_state = {"queued": queued, "FAILED": other, "RUNNING": running.id, "SUCCEEDED": done.id}
    for state, task_id in by_state.items():
        assert listed(command, "--status", state) == [task_id]
    assert listed(command, "--function", "shop.?") == [other, queued]
    assert listed(command, "--exception", "ValueError") == [other]
    assert listed(command, "--id", queued[:20], "--since", "1h") == [queued]
    assert listed(command, "--until", "1h") == []
    assert command("list", "--status", "CANCELLED") == (0, "no task matches\n")


def test_a_command_to_copy_stays_on_one_line(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    task_id = failed(function="shop.tasks.send_mail")
    monkeypatch.setattr(printing, "width", lambda: 60)
    lines = command("explain", task_id)[1].splitlines()
    assert f"     ztaskd replay --id {task_id}" in lines
    assert any("`ztaskd show`" in line for line in lines)


def test_a_narrow_terminal_leaves_the_room_to_the_exception(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed(function="shop.tasks.send_mail")
    for columns, head in ((80, ["AGE"]), (100, ["CREATED", "AGE"])):
        monkeypatch.setattr(printing, "width", lambda size=columns: size)
        lines = command("list")[1].splitlines()
        assert lines[0].split() == ["ID", "STATUS", "FUNCTION", *head, "TRIES", "LAST", "EXCEPTION"]
        assert "ValueError" in lines[1]
        assert max(map(len, lines)) <= columns
    text = command("replay", "--dry-run")[1]
    assert re.search(r"\d-\d\d-\d\d \d\d:\d\d:\d\d", text) is None


def test_what_runs_shows_the_node_by_its_name_while_it_is_known(command: Command, tmp_path: Path) -> None:
    task = claim_new("its-boot")
    assert "  node          boot its-boot\n" in command("show", task.id)[1]
    Lease("its-boot", "web9", f"ipc://{tmp_path}/nobody", 600.0).register(connection)
    text = command("show", task.id)[1]
    assert f"  node          web9 (pid {os.getpid()} on {socket.gethostname()}), boot its-boot\n" in text


def test_an_empty_journal_says_so(command: Command) -> None:
    assert command("list") == (0, "there are no tasks\n")
    assert command("list", "--json") == (0, "")
    assert command("purge", "--all", "--yes") == (0, "no FAILED task matches: nothing to delete\n")


def test_a_list_is_a_table_for_people(command: Command) -> None:
    task_id = failed(function="shop.tasks.send_mail")
    code, text = command("list")
    head, line = text.splitlines()
    assert code == 0
    assert head.split() == ["ID", "STATUS", "FUNCTION", "CREATED", "AGE", "TRIES", "LAST", "EXCEPTION"]
    assert line.split()[:3] == [task_id, "FAILED", "shop.tasks.send_mail"]
    assert line.endswith("1  ValueError: no stock")


KEYS = [
    "id",
    "status",
    "function",
    "queue",
    "pool",
    "priority",
    "created",
    "due",
    "failed",
    "started",
    "finished",
    "cancel_requested",
    "attempts",
    "failures",
    "crashes",
    "interruptions",
    "replays",
    "retries_left",
    "exception",
    "node",
]


def test_the_keys_for_programs_are_those_that_are_promised(command: Command) -> None:
    task_id = failed()
    _, text = command("list", "--json")
    assert list(json.loads(text)) == KEYS
    _, text = command("show", task_id, "--json")
    more = {"claimed", "codec", "args", "kwargs", "policy", "result", "traceback", "progress", "unsuccessful"}
    found = json.loads(text)
    assert set(found) == {*KEYS, *more}
    assert (found["args"], found["kwargs"]) == ([1], {})
    assert found["unsuccessful"][0]["exception"] == "ValueError: no stock"
    assert found["created"].endswith("Z")


def test_show_tells_everything_but_loads_no_pickle(command: Command) -> None:
    [task] = [claim_new(retry_count=0, policy={"timeout": 5})]
    finish(task, Kind.FAILURE, traceback="Traceback:\n  File x\nValueError: no stock")
    code, text = command("show", task.id[:23])
    assert code == 0
    for part in (
        task.id,
        "FAILED",
        "[1]",
        "ValueError: no stock",
        "attempt 1: failure",
        "  File x",
        '"timeout": 5',
        "ago)",
    ):
        assert part in text
    [pickled] = record(new_task((1, 2), {3}))
    _, text = command("show", pickled)
    assert "pickle, " in text
    assert " bytes" in text
    done = claim_new()
    finish(done, Kind.SUCCESS, result="pickle:00:AAAA")
    assert "pickle, 3 bytes" in command("show", done.id)[1]


def test_the_beginning_of_an_id_is_enough_when_it_is_one_tasks(command: Command) -> None:
    first, second = record(new_task(1), new_task(2))
    shared = "".join(a for n, a in enumerate(first) if second.startswith(first[: n + 1]))
    code, text = command("show", shared)
    assert code == 6
    assert first in text
    assert second in text
    assert command("show", first[: len(shared) + 1])[0] == 0
    for nothing in ("nothing", "%", "_" * 36, "*"):
        code, text = command("explain", nothing)
        assert code == 6
        assert "there is no task" in text


def test_a_list_survives_whatever_somebody_has_written_into_a_row(command: Command, vendor: str) -> None:
    task_id = failed(function="shop.\x1b[2J")
    Task.objects.filter(uuid=task_id).update(last_exception="\x1b]0;title\x07: x", queue="\u202e")
    other = failed()
    if vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE django_ztask_task SET created = 'soon', next_attempt = 'later', priority = 'high', "
                "function_name = CAST(x'ff2e66' AS TEXT), args = x'00ff' WHERE uuid = %s",
                [task_id],
            )
    for arguments in (
        ["list"],
        ["show", task_id],
        ["explain", task_id],
        ["list", "--function", "*.f", "--json"],
    ):
        code, text = command(*arguments)
        assert code == 0
        assert "\x1b" not in text
        assert "\x07" not in text
    assert sorted(listed(command)) == sorted([task_id, other])


def test_reading_leaves_the_connection_as_it_was() -> None:
    failed()
    looking.newest(connection, Filter(), None, 5)
    assert Task.objects.get().status == "FAILED"
    if connection.vendor == "sqlite":
        assert connection.connection.text_factory is str
