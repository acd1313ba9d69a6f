"""Enqueueing from real web workers: gunicorn with threads, with gevent, and preloaded."""

import contextlib
import os
import re
import sys
import urllib.error
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.acceptance.daemon import wait_for

pytestmark = pytest.mark.acceptance

WORKERS = {
    "threads": ["tests.project.wsgi", "--workers", "1", "--threads", "8"],
    "gevent": ["tests.project.wsgi", "--workers", "1", "-k", "gevent"],
    "sync": ["tests.project.wsgi", "--workers", "2"],
    "preload": ["tests.project.preloaded", "--workers", "2", "--threads", "8", "--preload"],
}

REQUESTS = 160


class Web:
    """A running gunicorn."""

    def __init__(self, site, options):
        command = [sys.executable, "-m", "gunicorn", *options, "--bind", "127.0.0.1:0", "--timeout", "60"]
        self.program = site.run_in_background(command, HOME=str(site.folder))  # its control socket is there
        listening = r"Listening at: (http://127\.0\.0\.1:\d+)"
        self.url = wait_for(lambda: re.search(listening, self.program.text), "gunicorn")[1]

    def get(self, path):
        """Status and body."""
        try:
            with contextlib.closing(urllib.request.urlopen(self.url + path, timeout=60)) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, ""

    def descriptors(self):
        """How many each worker holds, without SQLite's files, which it keeps open a while for its locks' sake.
        (Looked at from outside: which worker answers a request is the kernel's choice.)"""
        master = self.program.pid
        workers = Path(f"/proc/{master}/task/{master}/children").read_text().split()
        return {worker: len(list(files(worker))) for worker in workers}

    def order(self, numbers):
        """Concurrent requests, every fifth rolled back. Returns the numbers that were accepted."""
        paths = [f"/order/{n}/{'?fail' if n % 5 == 0 else ''}" for n in numbers]
        with ThreadPoolExecutor(16) as threads:
            answers = list(threads.map(self.get, paths))
        found = [(n, status) for n, (status, _) in zip(numbers, answers, strict=True)]
        assert [status for n, status in found] == [500 if n % 5 == 0 else 200 for n in numbers], (
            self.program.text
        )
        return [n for n, status in found if status == 200]


def files(pid):
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            name = os.readlink(descriptor)
            if "sqlite" not in name:
                yield name


def waits(site, web, number):
    """Seconds from the call in the view to the start of its task, of `number` requests that come one by one."""
    found = []
    query = "SELECT (julianday(started) - julianday(created)) * 86400 FROM django_ztask_task WHERE uuid = ?"
    for _ in range(number):
        status, task_id = web.get("/order/1001/")
        assert status == 200
        site.wait_status(task_id, "SUCCEEDED")
        found += site.sql(query, task_id)
    return found


@pytest.mark.parametrize("kind", WORKERS)
def test_each_order_has_its_task_run_once_and_soon_and_each_rollback_has_neither(site, kind):
    pytest.importorskip("gunicorn")
    site.start()
    web = Web(site, WORKERS[kind])
    accepted = web.order(range(1, 40))
    before = web.descriptors()
    accepted += web.order(range(40, 40 + REQUESTS))
    after = web.descriptors()
    extra = ["preload"] if kind == "preload" else []
    assert Counter(site.sql("SELECT number FROM shop_order")) == Counter(accepted)
    marks = site.wait_marks(len(accepted) + len(extra))
    assert Counter(marks) == Counter([*extra, *(f"order-{n}" for n in accepted)])
    site.wait_count(len(marks), status="SUCCEEDED", attempts=1)
    assert site.count() == len(marks)
    # (some worker has served orders before, and opened what it needs; others may still have to)
    assert max(after.values()) <= max(before.values()) + 3, (before, after)
    assert before.keys() == after.keys()
    assert sorted(waits(site, web, 10))[5] < 0.25  # by the sweep: half a second


def test_a_view_whose_savepoint_is_rolled_back_keeps_the_rest(site):
    pytest.importorskip("gunicorn")
    site.start()
    web = Web(site, WORKERS["threads"])
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(web.get, [f"/savepoint/{n}/" for n in range(40)]))
    assert [status for status, _ in answers] == [200] * 40
    expected = Counter(f"kept-{n}" for n in range(40))
    assert Counter(site.wait_marks(40)) == expected
    assert Counter(site.sql("SELECT number FROM shop_order")) == Counter(range(40))
    site.wait_count(40, status="SUCCEEDED", attempts=1)
    assert site.count() == 40
