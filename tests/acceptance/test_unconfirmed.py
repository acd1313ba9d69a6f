"""confirm=False in real processes: the exit waits, a kill costs what waited and nothing else."""

import pytest

from tests.acceptance.daemon import wait_for

pytestmark = pytest.mark.acceptance

CALLS = "later = mark.using(confirm=False)\nfor n in range({}): later.async_(str(n))\n"


@pytest.mark.both_databases
def test_a_script_that_just_ends_has_handed_over_everything(site):
    site.start()
    site.call(CALLS.format(500))
    assert sorted(map(int, site.wait_marks(500))) == list(range(500))


@pytest.mark.both_databases
def test_tasks_may_call_so_too(new_site):
    site = new_site(ZTASKD_CONFIRM=False)
    site.start()
    site.call("enqueue_more.async_(20).result(20)")
    assert sorted(site.wait_marks(20)) == sorted(f"child-{n}" for n in range(20))


def test_a_kill_costs_the_last_calls_and_leaves_a_prefix_that_runs_once(site):
    site.start()
    site.call(CALLS.format(3000) + "os.kill(os.getpid(), 9)", exit_code=-9)
    count = site.count()
    site.wait_count(count, status="SUCCEEDED")
    assert sorted(map(int, site.marks())) == list(range(count))


def test_an_exit_without_a_database_says_what_is_lost(site):
    said = site.spawn(
        """
        from django_ztask import unconfirmed
        unconfirmed.EXIT = 0.3
        connection.ensure_connection()
        with connection.cursor() as cursor:
            cursor.execute("BEGIN IMMEDIATE")
        import threading
        calls = threading.Thread(target=lambda: print(mark.using(confirm=False).async_("lost").id))
        calls.start()
        calls.join()
        """
    )
    wait_for(lambda: said.process.poll() is not None, "its end")
    assert said.process.returncode == 0
    assert "the process ends, and with it 1 task(s): " in said.text
    task_id = said.text.split("and with it 1 task(s): ")[1].split()[0]
    assert task_id in said.text.splitlines()[0]
    assert site.count() == 0
