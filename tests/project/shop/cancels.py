"""Task functions that are cancelled, or cancel. No `tasks` module: as trouble.py."""

import time

from django_ztask import TaskCancelled, current_task
from django_ztask.decorators import task
from django_ztask.handle import TaskHandle
from tests.project.shop.tasks import note


@task()
def cancels_itself():
    raise TaskCancelled("not needed any more")


@task(retry_after=0.05)
def when_cancelled(way):
    """Waits to be cancelled, and takes it in one way or another."""
    note("began", current_task().id)
    try:
        time.sleep(60)
    except TaskCancelled:
        if way == "error":
            raise ValueError("while it cleaned up") from None
        if way == "exit":
            raise SystemExit(3) from None
        if way == "return":
            return "done all the same"
        raise


@task()
def cancel(task_id):
    return TaskHandle(task_id).cancel()
