"""PostgreSQL restarts, refuses, or breaks off: the daemon goes on, and nothing is lost or charged to a task."""

import json
import time

import psycopg
import pytest

from tests import postgres
from tests.acceptance.daemon import wait_for
from tests.acceptance.faults import Held, degraded_lines, settled
from tests.acceptance.proxy import Proxy

pytestmark = pytest.mark.acceptance

# A caller for as long as the file STOP is not there. A call that raised is not accepted.
CALLER = """
from django.db import Error, connection
accepted, refused = [], 0
n = 0
while not os.path.exists(os.environ["STOP"]):
    n += 1
    try:
        accepted.append((order if n % 3 == 0 else mark).async_(n).id)
    except Error:
        refused += 1
        connection.close()
    time.sleep(0.005)
show([accepted, refused])
"""

WAITING = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"

OTHER = "other"
END_ALL_BUT = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name <> %s AND pid <> pg_backend_pid() AND datname = current_database()"""


@pytest.fixture
def vendor():
    try:
        postgres.server()
    except postgres.NotFound as error:
        pytest.skip(str(error))
    return "postgresql"


class ServerLog:
    """What the server says from now on: the daemon's own log leaves most of its complaints out."""

    def __init__(self, site):
        self.path = site.made.server.folder / "log"
        self.start = self.path.stat().st_size

    def count(self, text):
        return self.path.read_bytes()[self.start :].count(text.encode())

    def says(self, text, more_than=0):
        wait_for(lambda: self.count(text) > more_than, f"{text} in the server's log")


def take_all(database):
    """All the connections that there are left."""
    taken = []
    while True:
        try:
            taken.append(database.connect(application_name=OTHER))
        except psycopg.OperationalError:
            return taken


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_restart_of_the_server_under_load_loses_nothing_that_was_accepted(new_site, figure, mode):
    # A task that uses the database itself fails while there is none; that is its own failure, and retried.
    site = new_site(ZTASKD_RETRY_COUNT=20, ZTASKD_RETRY_AFTER=0.5)
    daemon = site.start("-c", "20")
    stop = site.folder / "stop"
    held = Held(site, 5)
    caller = site.spawn(CALLER, STOP=str(stop))
    site.wait_marks(50)
    began = time.monotonic()
    site.made.server.restart(mode)
    away = time.monotonic() - began
    daemon.says("the journal works again")
    before = len(site.marks())
    site.wait_marks(before + 50)
    held.let_go()
    stop.touch()
    assert caller.wait() == 0, caller.text
    accepted, refused = json.loads(caller.text.splitlines()[-1])
    done = "SELECT count(*) FROM django_ztask_task WHERE uuid = ANY(%s) AND status = 'SUCCEEDED'"
    ids = accepted + held.ids
    wait_for(lambda: site.sql(done, ids) == [len(ids)], "every accepted task")
    unharmed = "crashes = 0 AND (failures = 0 OR function_name LIKE '%%.order')"
    assert site.sql(f"SELECT count(*) FROM django_ztask_task WHERE NOT ({unharmed})") == [0]
    site.wait_count(0, status="RUNNING")
    lines = degraded_lines(daemon)
    assert 1 <= len(lines) < 6, lines
    repeated = site.sql("SELECT count(*) FROM django_ztask_task WHERE attempts > failures + 1")[0]
    figure(
        f"PostgreSQL restarted ({mode}, away {away:.1f} s): {len(ids)} accepted, {refused} refused, lost 0, "
        f"claimed twice {repeated}"
    )
    if mode == "fast":
        assert len(site.marks()) == len(set(site.marks()))
    assert daemon.stop() == 0


def test_an_outcome_whose_row_is_locked_and_whose_session_is_ended_is_written_all_the_same(site):
    daemon = site.start()
    held, server = Held(site), ServerLog(site)
    with site.made.connect() as other, other.transaction():
        other.execute("SELECT * FROM django_ztask_task FOR UPDATE")
        held.let_go()
        backend = wait_for(lambda: site.sql(WAITING), "the outcome's statement")[0]
        site.sql("SELECT pg_terminate_backend(%s)", backend)
        assert "terminating connection" in daemon.says("degraded: ")
        server.says("lock timeout")  # the next session waits no longer than this without a word
    held.unharmed()
    daemon.says("the journal works again")
    assert "taken from this node" not in daemon.log


@pytest.mark.parametrize("committed", [True, False], ids=["after", "before"])
@pytest.mark.parametrize(
    "statement", [b"SET status = new.status", b"SET status = 'RUNNING'"], ids=["finish", "claim"]
)
def test_a_connection_cut_around_a_commit_repeats_and_loses_nothing(
    site, tmp_path_factory, statement, committed
):
    """After: the commit is done, and all that the daemon sees of it is an error."""
    proxy = Proxy(tmp_path_factory.mktemp("p"), site.made.server.folder)
    through = {**site.settings, "DATABASES": {"default": {**site.made.settings, "HOST": str(proxy.folder)}}}
    daemon = site.start(SHOP_SETTINGS=json.dumps(through))
    proxy.arm(statement, committed)
    task_id = site.call("show(mark.async_('once', 0.2).id)")
    assert proxy.cut.wait(30)
    row = site.wait_status(task_id, "SUCCEEDED")
    # A claim that nobody heard of is given back, and claimed again.
    claims = 2 if committed and b"RUNNING" in statement else 1
    assert settled(row) == (claims, 0, 0, 0)
    daemon.says("degraded: ")
    daemon.says("the journal works again")
    assert site.marks() == ["once"]
    assert "taken from this node" not in daemon.log
    assert daemon.stop() == 0
    proxy.close()


def test_a_retry_whose_commit_was_not_heard_of_costs_one_failure_only(site, tmp_path_factory):
    proxy = Proxy(tmp_path_factory.mktemp("p"), site.made.server.folder)
    through = {**site.settings, "DATABASES": {"default": {**site.made.settings, "HOST": str(proxy.folder)}}}
    daemon = site.start(SHOP_SETTINGS=json.dumps(through))
    proxy.arm(b"SET status = new.status", True)
    task_id = site.call("show(fail.async_().id)")  # retried once
    assert proxy.cut.wait(30)
    row = site.wait_status(task_id, "FAILED")
    assert settled(row) == (2, 2, 0, 0)
    assert site.sql("SELECT attempt FROM django_ztask_attempt ORDER BY attempt") == [1, 2]
    assert "taken from this node" not in daemon.log
    proxy.close()


def test_when_others_have_all_the_connections_the_daemon_waits_for_one(site):
    daemon = site.start()
    held, server = Held(site), ServerLog(site)
    others = []
    turns = 0
    try:
        with site.made.connect() as admin:
            while server.count("too many clients") <= turns:  # (one is ours in each turn)
                admin.execute(END_ALL_BUT, [OTHER])
                others += take_all(site.made)
                turns += 1
                assert turns < 1000
            held.let_go()
    finally:
        for other in others:
            other.close()
    held.unharmed()
    daemon.says("the journal works again")
    assert site.call("show(add.async_(1, 1).result(20))") == 2


def test_a_statement_timeout_of_the_role_is_no_reason_to_give_an_outcome_up(site):
    site.made.sql(f'ALTER ROLE postgres IN DATABASE "{site.made.name}" SET statement_timeout = 1000')
    daemon = site.start()
    held = Held(site)
    with site.made.connect() as other, other.transaction():
        other.execute("SELECT * FROM django_ztask_task FOR UPDATE")
        held.let_go()
        assert "statement timeout" in daemon.says("degraded: ")
    held.unharmed()


def test_a_database_that_turns_read_only_stops_no_task_and_is_used_again_afterwards(site):
    daemon = site.start()
    held, server = Held(site), ServerLog(site)
    admin, name = site.made.server.admin, site.made.name
    admin.sql(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    site.made.disconnect_all()
    held.let_go()
    server.says("cannot execute UPDATE in a read-only transaction")
    daemon.says("degraded: ")
    error = site.call("""
        from django.db import Error
        try:
            show(add.async_(1, 1).id)
        except Error as error:
            show(str(error))
    """)
    assert "read-only" in error
    admin.sql(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
    held.unharmed()
    daemon.says("the journal works again")
    assert site.call("show(add.async_(1, 1).result(20))") == 2
    assert site.count() == 2


def test_a_journal_that_is_emptied_under_the_daemon_is_said_and_it_goes_on(site):
    daemon = site.start()
    held = Held(site, 3)
    site.made.sql("TRUNCATE django_ztask_task, django_ztask_node")
    held.let_go()
    wait_for(lambda: daemon.log.count("taken from this node or deleted") == 3, "three lines about it")
    assert site.call("show(add.async_(1, 1).result(20))") == 2
    assert site.count() == 1
    assert daemon.stop() == 0
