"""What a handle tells of its task: status, result, or why there is none."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connections, transaction
from django.test import override_settings

from django_ztask import handle as handle_module
from django_ztask import journal
from django_ztask.conf import keys
from django_ztask.errors import ResultTimeout, ResultUnavailable, TaskFailed
from django_ztask.handle import TaskHandle
from django_ztask.lifecycle import Kind
from django_ztask.models import Task
from django_ztask.serialize import dump_result
from tests.integration.helpers import BOOT, claim, claim_new, ending, failed, finish
from tests.project.shop.tasks import add

pytestmark = pytest.mark.both_databases


@pytest.fixture
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting fails the test."""

    def sleep(seconds: float) -> None:
        raise AssertionError("it waits")

    monkeypatch.setattr(handle_module.time, "sleep", sleep)


def succeeded(value: Any) -> TaskHandle[Any]:
    task = claim_new()
    finish(task, result=dump_result(value, task.id, keys("result")[0]))
    return TaskHandle(task.id)


def test_a_handle_shows_what_it_saw_last() -> None:
    handle = add.async_(1)
    [task] = claim(handle.id)
    assert handle.status == "QUEUED"
    assert handle.refresh() is handle
    assert handle.status == "RUNNING"
    finish(task, result="1")
    assert handle.refresh().status == "SUCCEEDED"
    assert repr(handle) == f"<task {handle.id} SUCCEEDED>"


@pytest.mark.usefixtures("no_wait")
@pytest.mark.parametrize("value", [None, 0, "", [1, {"a": None}], (1, 2), {1: b"x"}, float("inf")])
def test_a_result_comes_back_as_it_was(value: Any) -> None:
    result = succeeded(value).result()
    assert result == value
    assert type(result) is type(value)


@pytest.mark.usefixtures("no_wait")
def test_a_failed_task_raises_its_traceback() -> None:
    with pytest.raises(TaskFailed, match="Traceback: no stock"):
        TaskHandle(failed()).result()


@pytest.mark.usefixtures("no_wait")
def test_a_refused_task_raises_its_reason() -> None:
    task = claim_new()
    finish(task, Kind.REFUSED, exception="MacError: forged")
    with pytest.raises(TaskFailed, match="MacError: forged"):
        TaskHandle(task.id).result()


@pytest.mark.usefixtures("no_wait")
def test_a_result_that_could_not_be_carried_is_told_apart() -> None:
    with pytest.raises(ResultUnavailable, match="lambda"):
        succeeded(lambda: None).result()


@pytest.mark.usefixtures("no_wait")
def test_a_forged_result_is_not_given() -> None:
    handle = succeeded((1, 2))
    other = row_result(succeeded((3, 4)))
    Task.objects.filter(uuid=handle.id).update(result=other)
    with pytest.raises(ResultUnavailable, match="MAC"):
        handle.result()


def test_a_pickled_result_is_not_read_where_pickle_is_switched_off() -> None:
    handle = succeeded((1, 2))
    with override_settings(ZTASKD_PICKLE=False), pytest.raises(ResultUnavailable, match="ZTASKD_PICKLE"):
        handle.result()
    assert handle.result() == (1, 2)


def row_result(handle: TaskHandle[Any]) -> str | None:
    return Task.objects.get(uuid=handle.id).result


@pytest.mark.usefixtures("no_wait")
def test_a_cancelled_task_and_one_that_is_gone_have_no_result() -> None:
    handle = add.async_(1)
    Task.objects.update(status="CANCELLED")
    with pytest.raises(ResultUnavailable, match="cancelled"):
        handle.result()
    Task.objects.all().delete()
    for look in (handle.result, handle.refresh):
        with pytest.raises(ResultUnavailable, match="no task"):
            look()


@pytest.mark.usefixtures("no_wait")
def test_a_timeout_of_nothing_looks_once() -> None:
    handle = add.async_(1)
    with pytest.raises(ResultTimeout, match="still QUEUED"):
        handle.result(timeout=0)
    with pytest.raises(TimeoutError):
        handle.result(timeout=-1)
    assert handle.status == "QUEUED"


def test_the_time_that_runs_out_is_the_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 0.0
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        nonlocal clock
        clock += seconds
        pauses.append(seconds)

    monkeypatch.setattr(handle_module.time, "monotonic", lambda: clock)
    monkeypatch.setattr(handle_module.time, "sleep", sleep)
    handle = add.async_(1)
    with pytest.raises(ResultTimeout, match=r"still QUEUED after 60 s; it goes on"):
        handle.result(timeout=60)
    assert clock == pytest.approx(60)
    assert pauses[0] <= 0.005, "the first looks are close together"
    assert max(pauses) <= 0.25
    assert len(pauses) < 600, "a long wait costs the database little"


@pytest.mark.usefixtures("no_wait")
def test_inside_a_transaction_it_would_wait_for_itself_and_says_so_at_once() -> None:
    with transaction.atomic():
        handle = add.async_(1)
        with pytest.raises(ResultTimeout, match="inside a transaction"):
            handle.result(timeout=60)
        with pytest.raises(ResultTimeout, match="inside a transaction"):
            handle.result()


@pytest.mark.usefixtures("no_wait")
def test_inside_a_manual_transaction_it_would_wait_for_itself_too() -> None:
    transaction.set_autocommit(False)
    try:
        handle = add.async_(1)
        with pytest.raises(ResultTimeout, match="inside a transaction"):
            handle.result(timeout=60)
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)


@pytest.mark.usefixtures("no_wait")
def test_inside_a_transaction_a_result_that_is_there_is_given() -> None:
    handle = succeeded([7])
    with transaction.atomic():
        assert handle.result() == [7]


def test_a_result_is_waited_for_until_another_process_writes_it() -> None:
    handle = add.async_(1)
    waiting = threading.Event()

    class Watched(TaskHandle[Any]):
        def _look(self, patience: float) -> None:
            waiting.set()
            super()._look(patience)

    def work() -> None:
        waiting.wait(20)
        own = connections["default"]
        [task] = claim(handle.id)
        journal.finish(own, BOOT, [ending(task, Kind.SUCCESS, result="[1]")])
        connections.close_all()

    worker = threading.Thread(target=work)
    worker.start()
    assert Watched(handle.id).result(timeout=20) == [1]
    worker.join()
