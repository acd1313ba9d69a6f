"""pause and resume, beside real daemons: once the command has returned nothing of the queue starts any more, on any node,
and nothing of it is lost.
"""

import json
import signal
import time

import pytest

from tests.acceptance.daemon import MODULE, wait_for

pytestmark = pytest.mark.acceptance

# Until the gate is open, one task of each queue after the other.
CALLER = """
    n = 0
    while not os.path.exists({gate!r}):
        for queue in ("mail", "stock"):
            mark.using(queue=queue).async_(f"{{queue}}-{{n}}")
        n += 1
    show(n)
"""


def ztaskd(site, *args, code=0):
    found, text = site.command(*args, program=MODULE)
    assert found == code, text
    assert "Traceback" not in text
    return text


def pause(site, *args):
    return json.loads(ztaskd(site, "pause", "--json", *args))


def resume(site, *args):
    return [json.loads(line) for line in ztaskd(site, "resume", "--json", *args).splitlines()]


def starts(site, queue):
    """When each task of the queue has started, in the order of the ledger."""
    return [float(line[2]) for line in site.ledger if line[0] == "mark" and line[1].startswith(queue)]


def node(site, name, *args):
    """One of several on a database."""
    own = {**site.settings, "ZTASKD_URL": f"ipc://{site.folder}/run/{name}", "ZTASKD_NODE": name}
    return site.start(*args, SHOP_SETTINGS=json.dumps(own))


def calls(site, queue, number):
    """Their ids."""
    code = f"show([handle.id for handle in mark.using(queue={queue!r}).map(f'{queue}-{{n}}' for n in range({number}))])"
    return site.call(code)


@pytest.mark.both_databases
def test_under_load_nothing_of_the_queue_starts_after_the_command_has_returned(site, vendor):
    nodes = [
        node(site, name, "-c", "10") for name in (("one", "two") if vendor == "postgresql" else ("one",))
    ]
    site.settings["ZTASKD_URL"] = [f"ipc://{site.folder}/run/{name}" for name in ("one", "two")[: len(nodes)]]
    caller = site.spawn(CALLER.format(gate=str(site.gate)))
    wait_for(lambda: len(starts(site, "mail")) > 50, "some tasks")
    said = pause(site, "--queue", "mail", "--reason", "it is down")
    returned = time.time()
    assert (said["changed"], said["queue"], said["reason"]) == (True, "mail", "it is down")
    assert (len(said["told"]), said["silent"]) == (len(nodes), [])
    others = len(starts(site, "stock"))
    wait_for(lambda: len(starts(site, "stock")) > others + 50, "the other queue to go on")
    assert [start for start in starts(site, "mail") if start > returned] == []
    for daemon in nodes:
        assert "INFO queue mail is paused since" in daemon.says("is paused")
    assert pause(site, "--queue", "mail", "--reason", "again")["changed"] is False
    site.gate.touch()
    assert caller.wait() == 0, caller.text
    number = json.loads(caller.text)
    site.wait_count(number, queue="stock", status="SUCCEEDED")
    waiting = site.count(queue="mail", status="QUEUED")
    assert 0 < waiting < number
    wait_for(lambda: site.count(queue="mail", status="QUEUED", pool="") == 0, "the rows to be put aside")
    [ended] = resume(site, "--queue", "mail")
    assert ended["queued"] + ended["running"] <= waiting
    site.wait_count(number, queue="mail", status="SUCCEEDED")
    assert len(site.marks()) == len(set(site.marks())) == 2 * number
    assert site.count(pool="") == 2 * number
    for daemon in nodes:
        daemon.says("queue mail goes on")
        assert daemon.stop() == 0
        assert "ERROR" not in daemon.log


def test_what_was_claimed_and_waits_for_a_place_is_handed_back_and_what_runs_goes_on(site):
    """Short tasks are claimed ahead: some of those behind the long one are in the node already."""
    daemon = site.start("-c", "1")
    blocker = site.call(f"""
        mark.map(range(300))
        blocker = gated.using(queue="mail").async_(1, {str(site.gate)!r})
        mark.using(queue="mail").map(f"mail-{{n}}" for n in range(100))
        mark.using(queue="stock").map(f"stock-{{n}}" for n in range(100))
        show(blocker.id)
    """)
    site.wait_status(blocker, "RUNNING")
    assert pause(site, "--queue", "mail")["running"] <= 1
    site.gate.touch()
    site.wait_status(blocker, "SUCCEEDED")
    site.wait_count(100, queue="stock", status="SUCCEEDED")
    assert starts(site, "mail") == []
    assert site.count(queue="mail", status="QUEUED", attempts=0) < 100, "some had been claimed"
    resume(site, "--queue", "mail")
    site.wait_count(101, queue="mail", status="SUCCEEDED")
    found = [word for word in site.marks() if word.startswith("mail")]
    assert found == [f"mail-{n}" for n in range(100)]
    assert site.sql("SELECT DISTINCT failures, interruptions, crashes FROM django_ztask_task") == [(0, 0, 0)]
    assert daemon.stop() == 0


def test_a_task_that_waits_for_its_child_is_handed_back_at_no_cost(site):
    site.start("--worker-pool-size", "1")
    first = site.call(f"show(gated.using(pool='process').async_(1, {str(site.gate)!r}).id)")
    site.wait_status(first, "RUNNING")
    ids = site.call("""
        kinds = [mark.using(pool="process", queue="mail", at_most_once=once) for once in (False, True)]
        show([kinds[n % 2].async_(f"mail-{n}").id for n in range(4)])
    """)
    pause(site, "--queue", "mail")
    site.gate.touch()
    site.wait_status(first, "SUCCEEDED")
    wait_for(lambda: site.count(queue="mail", status="QUEUED", pool="process") == 0, "them to be put aside")
    assert starts(site, "mail") == []
    resume(site, "--queue", "mail")
    for task_id in ids:
        row = site.wait_status(task_id, "SUCCEEDED")
        assert (row["failures"], row["interruptions"], row["crashes"]) == (0, 0, 0)


def test_a_pause_is_set_while_no_daemon_runs_and_outlives_kills_and_restarts(site):
    text = ztaskd(site, "pause", "--queue", "mail", "--reason", "it is down")
    assert "queue mail is paused from now on; there is no task of this queue (yet)" in text
    assert "no daemon runs" in text
    calls(site, "mail", 30)
    daemon = site.start("-c", "1")
    assert "WARNING queue mail is paused since" in daemon.says("is paused")
    for end in ("kill", "hup"):
        wait_for(lambda: site.count(queue="mail", pool="") == 0, "the rows to be put aside")
        if end == "kill":
            daemon.kill9()
            daemon = site.start("-c", "1")
        else:
            daemon.signal(signal.SIGHUP)
            wait_for(lambda log=daemon.path: log.read_text().count("WARNING queue mail") == 2, "the new boot")
        calls(site, "mail", 1)
    [stock] = calls(site, "stock", 1)
    site.wait_status(stock, "SUCCEEDED")
    assert starts(site, "mail") == []
    assert daemon.stop() == 0
    text = ztaskd(site, "resume", "--queue", "mail")
    assert "queue mail goes on: 32 tasks have waited" in text
    assert "(no daemon runs)" in text
    site.start("-c", "1")
    site.wait_count(32, queue="mail", status="SUCCEEDED")
    found = [word for word in site.marks() if word.startswith("mail")]
    assert found[:30] == [f"mail-{n}" for n in range(30)], "in the order of their calls"
    assert site.sql("SELECT DISTINCT pool, attempts FROM django_ztask_task WHERE queue = 'mail'") == [("", 1)]


def test_everything_is_paused_beside_a_queue(site):
    daemon = site.start()
    assert pause(site, "--queue", "mail")["changed"]
    assert pause(site)["queue"] is None
    daemon.says("INFO everything is paused since")
    [mail], [stock] = calls(site, "mail", 1), calls(site, "stock", 1)
    listed = [json.loads(line) for line in ztaskd(site, "pause", "--list", "--json").splitlines()]
    assert [(each["queue"], each["queued"]) for each in listed] == [("mail", 1), (None, 2)]
    found = json.loads(ztaskd(site, "explain", stock, "--json"))["findings"]
    assert [(each["code"], each["advice"]) for each in found] == [("paused", "ztaskd resume")]
    text = ztaskd(site, "resume")
    assert "everything goes on" in text
    assert "1 pause in force: queue mail" in text
    site.wait_status(stock, "SUCCEEDED")
    wait_for(lambda: site.task(mail)["pool"] != "", "the row to be put aside")
    assert starts(site, "mail") == []
    assert [each["queue"] for each in resume(site, "--all")] == ["mail"]
    site.wait_status(mail, "SUCCEEDED")
    assert "nothing was paused" in ztaskd(site, "resume", "--all")
    assert daemon.stop() == 0
    assert "ERROR" not in daemon.log


def test_retries_and_replays_wait_while_their_queue_is_paused(site):
    site.start()
    retried, replayed = site.call("""
        retried = fail.using(queue='mail', retry_after=3600).async_('retried')
        show([retried.id, fail.using(queue='mail', retry_count=0).async_('replayed').id])
    """)
    site.wait_status(replayed, "FAILED")
    wait_for(lambda: site.task(retried)["failures"] == 1, "the first attempt of the other")
    pause(site, "--queue", "mail")
    site.sql("UPDATE django_ztask_task SET next_attempt = 1 WHERE uuid = ?", retried)
    ztaskd(site, "replay", "--id", replayed)
    wait_for(lambda: site.count(queue="mail", pool="") == 0, "both to be put aside")
    assert len(site.ledger) == 2
    resume(site, "--queue", "mail")
    wait_for(lambda: site.count(status="FAILED", failures=2) == 2, "both to fail again")
    assert len(site.ledger) == 4


def test_suspects_of_a_paused_queue_wait_and_are_suspects_still(site):
    daemon = site.start()
    code = f"show(gated.using(queue='mail').async_(1, {str(site.gate)!r}).id)"
    task_id = site.call(code)
    site.wait_status(task_id, "RUNNING")
    assert pause(site, "--queue", "mail")["running"] == 1
    daemon.kill9()
    daemon = site.start()
    wait_for(lambda: site.task(task_id)["pool"].endswith("-s"), "the suspect to be put aside")
    assert site.task(task_id)["status"] == "QUEUED"
    site.gate.touch()
    resume(site, "--queue", "mail")
    row = site.wait_status(task_id, "SUCCEEDED")
    assert (row["pool"], row["attempts"], row["crashes"]) == ("suspect", 2, 0)
