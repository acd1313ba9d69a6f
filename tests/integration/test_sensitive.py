"""Which arguments are sensitive stands in the row: who claims it, and who looks at it, need not know the function."""

from __future__ import annotations

import json
import logging

import pytest

from django_ztask.lifecycle import Kind
from django_ztask.models import Task
from tests.integration.commanding import Command, command
from tests.integration.helpers import claim, finish, later
from tests.project.shop.sensitive import forget, login
from ztaskd import tasklines

pytestmark = pytest.mark.both_databases

__all__ = ["command"]

SECRET = "hunter2"


def test_a_row_knows_which_they_are(caplog: pytest.LogCaptureFixture) -> None:
    ids = [
        login.async_("ada", SECRET, attempts=[1]).id,
        login.async_(user="ada", token=SECRET).id,
        forget.using(sensitive=["token"], timeout=5).async_("ada", SECRET).id,
        forget.async_("ada", "no secret").id,
        login.using(confirm=False, sensitive=()).async_("ada", "no secret").id,
    ]
    claimed = claim(*ids)
    assert [task.id for task in claimed] == ids
    assert [task.hidden for task in claimed] == [(1,), ("token",), (1,), (), ()]
    assert claimed[2].policy == {"timeout": 5}
    caplog.set_level(logging.DEBUG, "ztaskd")
    for task in claimed:
        tasklines.started(task)
    assert [line.partition(" with ")[2] for line in caplog.messages] == [
        '["ada","***"] {"attempts":[1]}',
        '[] {"user":"ada","token":"***"}',
        '["ada","***"] {}',
        '["ada","no secret"] {}',
        '["ada","no secret"] {}',
    ]


def test_many_calls_have_each_its_own() -> None:
    handles = login.map([("ada", SECRET), ("bob", SECRET)])
    assert [task.hidden for task in claim(*[handle.id for handle in handles])] == [(1,), (1,)]


def test_a_pickle_shows_nothing_anyway(command: Command) -> None:
    task_id = login.async_("ada", (SECRET,)).id
    assert "pickle, " in command("show", task_id)[1]
    assert command("show", task_id, "--json")[0] == 0


@pytest.mark.parametrize("name", ["shop.gone.login", None])
def test_no_command_shows_them(command: Command, name: str | None) -> None:
    """(Also of a function that is not there any more.)"""
    task_id = login.async_("ada", SECRET, attempts=["x"]).id
    if name is not None:
        Task.objects.filter(uuid=task_id).update(function_name=name)
    [task] = claim(task_id, now=later())
    assert finish(task, Kind.FAILURE) == []
    for arguments in (["show"], ["show", "--json"], ["explain"], ["explain", "--json"]):
        code, text = command(*arguments, task_id)
        assert code == 0
        assert SECRET not in text
    for arguments in (["list", "--json"], ["list"]):
        assert SECRET not in command(*arguments)[1]
    found = json.loads(command("show", task_id, "--json")[1])
    assert (found["args"], found["kwargs"]) == (["ada", "***"], {"attempts": ["x"]})
    assert '  args          ["ada","***"]\n' in command("show", task_id)[1]
    assert SECRET in Task.objects.get(uuid=task_id).args
