"""confirm=False: whole processes, and what is left of their calls when they end or fork."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from django_ztask.models import Task
from tests.integration.helpers import ROOT, environment, run_script

END = """
import atexit, sys, threading
def last():
    add.using(confirm=False).async_("from an exit handler")
    from django_ztask.models import Task
    print(Task.objects.count())
atexit.register(last)  # (before ztaskd's: so it comes after)
import django; django.setup()
from tests.project.shop.tasks import add
from django.db import connections
later = add.using(confirm=False)
def after_the_main_thread():
    threading.main_thread().join()
    later.async_("from a thread")
    connections.close_all()
threading.Thread(target=after_the_main_thread).start()
later.async_("from the main thread")
"""


def test_what_is_called_while_the_process_ends_is_recorded(database: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", END],
        cwd=ROOT,
        env=environment(database),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("3\n", "")


CHILD = """
import multiprocessing
def child():
    for n in range(50):
        add.using(confirm=False).async_(n)
process = multiprocessing.get_context("fork").Process(target=child)
process.start()
process.join()
print(process.exitcode)
"""


def test_a_child_of_multiprocessing_waits_for_its_rows(database: Path) -> None:
    assert run_script(CHILD, database) == "0\n"
    assert Task.objects.count() == 50


def test_a_fork_takes_nothing_along(database: Path) -> None:
    said = run_script(
        """
import os, warnings, django_ztask
from django.db import connection
from django_ztask import unconfirmed
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)  # (from 3.12 on)
with connection.cursor() as cursor:
    cursor.execute("BEGIN IMMEDIATE")
    import threading
    calls = threading.Thread(target=lambda: [add.using(confirm=False).async_(n) for n in range(5)])
    calls.start()
    calls.join()
    if os.fork() == 0:
        django_ztask.flush()
        os._exit(0 if not unconfirmed.is_busy() else 1)
    _, code = os.wait()
    cursor.execute("COMMIT")
django_ztask.flush()
from django_ztask.models import Task
print(code, Task.objects.count())
""",
        database,
    )
    assert said == "0 5\n"
