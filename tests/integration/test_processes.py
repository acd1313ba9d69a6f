"""Whole processes that enqueue: short scripts, forks, threads, greenlets."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from django_ztask.conf import keys
from django_ztask.message import decode
from django_ztask.models import Task
from tests.integration.helpers import ROOT, environment, run_script

PATIENCE = 20_000


@pytest.fixture
def router() -> Iterator[zmq.Socket[bytes]]:
    """The socket of a node that is up."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = context.socket(zmq.ROUTER)
    yield socket
    context.destroy(0)


def listen(router: zmq.Socket[bytes]) -> str:
    return f"tcp://127.0.0.1:{router.bind_to_random_port('tcp://127.0.0.1')}"


def heard(router: zmq.Socket[bytes], count: int) -> set[str]:
    """The names in the next messages, until there are `count` of them."""
    names: set[str] = set()
    while len(names) < count:
        assert router.poll(PATIENCE), f"heard of {len(names)} instead of {count}"
        names.update(decode(router.recv_multipart()[1:], keys("message")).ids)
    return names


def recorded() -> set[str]:
    return set(Task.objects.values_list("uuid", flat=True))


def test_a_script_that_exits_at_once_gets_its_message_out(router: zmq.Socket[bytes], database: Path) -> None:
    run_script("add.async_(1)", database, ZTASKD_URL=listen(router))
    assert heard(router, 1) == recorded()


def test_a_script_exits_though_no_node_is_there(database: Path, tmp_path: Path) -> None:
    run_script("add.map(range(9))", database, ZTASKD_URL=f"ipc://{tmp_path}/nobody")
    assert len(recorded()) == 9


NO_GOOD = """
import logging, sys
from django.test import override_settings
logging.basicConfig(stream=sys.stdout, format="%(levelname)s")
for url in ("tcp://*:5555", "tcp://no such host:1", "nonsense", 7):
    with override_settings(ZTASKD_URL=url):
        add.async_(1)
        add.async_(2)
print("on")
add.async_(3)
"""


def test_a_url_that_is_no_good_costs_warnings_and_a_good_one_works_after_it(
    router: zmq.Socket[bytes], database: Path
) -> None:
    printed = run_script(NO_GOOD, database, ZTASKD_URL=listen(router)).split()
    assert set(printed[:-1]) == {"WARNING"}
    assert printed[-1] == "on", "the good one needs no warning"
    assert len(recorded()) == 9
    assert heard(router, 1) == {Task.objects.latest("created").uuid}


def test_a_script_exits_though_its_url_is_no_good(database: Path) -> None:
    run_script("import logging; logging.disable(); add.async_(1)", database, ZTASKD_URL="tcp://*:5555")
    assert len(recorded()) == 1


def test_a_script_that_takes_warnings_for_errors_exits_too(router: zmq.Socket[bytes], database: Path) -> None:
    run_script(
        "import warnings; warnings.simplefilter('error'); add.async_(1)", database, ZTASKD_URL=listen(router)
    )
    assert heard(router, 1) == recorded()


QUIET = "import warnings; warnings.filterwarnings('ignore', '.*multi-threaded', DeprecationWarning)\n"

FORK = """
import os, resource, sys
from django.db import connections
def child(count):
    pid = os.fork()
    if pid:
        return pid
    for n in range(count):
        add.async_(n)
    used = resource.getrusage(resource.RUSAGE_SELF)
    sys.exit(0 if used.ru_utime + used.ru_stime < 5 else 9)
add.async_(0)
connections.close_all()
pids = [child(3), child(3)]
for pid in pids:
    assert os.waitpid(pid, 0)[1] == 0
add.async_(1)
"""


def test_after_a_fork_the_child_has_a_socket_of_its_own_and_the_parent_keeps_its(
    router: zmq.Socket[bytes], database: Path
) -> None:
    run_script(QUIET + FORK, database, ZTASKD_URL=listen(router))
    assert heard(router, 8) == recorded()
    assert len(recorded()) == 8


FORK_UNDER_LOCK = """
import os, threading
from django.db import connections
from django_ztask import ids, transport
add.async_(0)
connections.close_all()
held = threading.Event()
forked = threading.Event()
def hold():
    with transport._transport.lock, ids._lock:
        held.set()
        forked.wait(20)
holder = threading.Thread(target=hold)
holder.start()
held.wait(20)
pid = os.fork()
if pid == 0:
    add.async_(1)
    os._exit(0)
forked.set()
holder.join()
assert os.waitpid(pid, 0)[1] == 0
"""


def test_a_fork_while_another_thread_sends_does_not_leave_the_child_locked_out(
    router: zmq.Socket[bytes], database: Path
) -> None:
    run_script(QUIET + FORK_UNDER_LOCK, database, ZTASKD_URL=listen(router))
    assert len(recorded()) == 2


FORK_DURING_A_COMMIT = """
import os, threading, time
from django.db import connections
from django_ztask import together
from django_ztask.announcement import Announcement
add.async_(0)
party = together._party(connections["default"])
leader = together.Seat([], Announcement())
party.enter(leader)
def wait():
    add.async_(1)
    connections.close_all()
waiting = threading.Thread(target=wait)
waiting.start()
while not party.waiting:
    time.sleep(0.001)
connections.close_all()
with party.lock:
    pid = os.fork()
    if pid == 0:
        add.async_(2)
        add.map([3, 4])
        os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
party.leave(leader)
waiting.join()
"""


def test_a_fork_while_threads_share_a_commit_leaves_the_child_free(database: Path, tmp_path: Path) -> None:
    run_script(QUIET + FORK_DURING_A_COMMIT, database, ZTASKD_URL=f"ipc://{tmp_path}/nobody")
    assert sorted(Task.objects.values_list("args", flat=True)) == [f"[{n}]" for n in range(5)]


CROWD = """
from django_ztask import transport; transport.STREAK = 10**9; import os, threading  # (each call is to be heard of)
from django.db import connections
from django_ztask.decorators import task
def make(n):
    def function(): ...
    return task(name=f"crowd.f{n}")(function)
def descriptors():
    return len(os.listdir("/proc/self/fd"))
functions = [make(n) for n in range(200)]
functions[0].async_()
connections.close_all()
before = descriptors()
done, counted = threading.Barrier(51), threading.Barrier(51)
def call(n):
    for function in functions[4 * n : 4 * n + 4]:
        function.async_()
    connections.close_all()
    done.wait(60)
    counted.wait(60)
threads = [threading.Thread(target=call, args=(n,)) for n in range(50)]
for thread in threads:
    thread.start()
done.wait(60)
print(before, descriptors())
counted.wait(60)
for thread in threads:
    thread.join()
"""


def test_two_hundred_task_functions_and_fifty_threads_use_one_set_of_descriptors(
    router: zmq.Socket[bytes], database: Path
) -> None:
    before, during = run_script(CROWD, database, ZTASKD_URL=listen(router)).split()
    assert int(during) <= int(before)  # (libzmq may still be closing the first message's own)
    assert heard(router, 201) == recorded()


GREENLETS = """
from gevent import monkey; monkey.patch_all()
import gevent
import django; django.setup()
from django.db import connections
from django_ztask import transport; transport.STREAK = 10**9  # each call is to be heard of
from tests.project.shop.tasks import add
def call():
    for n in range(5):
        add.async_(n)
    connections.close_all()
gevent.joinall([gevent.spawn(call) for _ in range(10)], raise_error=True, timeout=30)
"""


def test_a_process_patched_by_gevent_calls_from_its_greenlets(
    router: zmq.Socket[bytes], database: Path
) -> None:
    env = environment(database, ZTASKD_URL=listen(router))
    done = subprocess.run(
        [sys.executable, "-c", GREENLETS], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert heard(router, 50) == recorded()
