"""systemd is told what the daemon does; a hub that stands still gives no sign of life. (systemd itself: test_systemd.py.)"""

import itertools
import signal

import pytest

from tests.acceptance.daemon import wait_for
from tests.acceptance.service_manager import ServiceManager

pytestmark = pytest.mark.acceptance

# Seconds within which a sign of life is wanted: they come twice as often.
WATCHDOG = 0.4

VARIABLES = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}


@pytest.fixture
def listen(site):
    made = []

    def listen(address):
        made.append(ServiceManager(address, WATCHDOG).listen())
        return made[-1]

    yield listen
    for each in made:
        each.close()


@pytest.fixture
def manager(site, listen):
    return listen(site.folder / "notify")


def longest_silence(manager):
    """Seconds between two signs of life."""
    times = [said.at for said in manager.all("WATCHDOG")]
    return max(later - earlier for earlier, later in itertools.pairwise(times))


def test_systemd_hears_of_the_start_and_of_the_stop_and_meanwhile_signs_of_life(site, manager):
    daemon = site.start("--grace", "50", "--worker-pool-size", "1", **manager.env)
    assert manager.hears("READY", "1").lines["STATUS"].startswith("0 task(s) run, node ")
    assert int(manager.hears("EXTEND_TIMEOUT_USEC").lines["EXTEND_TIMEOUT_USEC"]) >= 60e6
    (boot,) = manager.all("STATUS", "booting: loading the tasks")
    assert "WATCHDOG" not in boot.lines  # (it would arm the watchdog, and a slow boot would be killed)
    code = "places = [environment.using(pool=pool).async_() for pool in ('greenlet', 'process')]; "
    code += (
        "[mark.async_(n) for n in range(300)]; long.async_(60); show([place.result(20) for place in places])"
    )
    for each in site.call(code):
        assert VARIABLES & set(each) == set()  # (nobody else is to speak for the service)
    site.wait_marks(300)
    manager.hears_more("WATCHDOG")
    assert manager.all("STOPPING") == []
    daemon.signal(signal.SIGTERM)
    stopping = manager.hears("STOPPING", "1")
    assert stopping.lines["STATUS"].startswith("stopping, 1 task(s) run")
    assert int(stopping.lines["EXTEND_TIMEOUT_USEC"]) >= 55e6
    manager.hears_more("WATCHDOG", 4)
    assert daemon.process.poll() is None
    assert {said.pid for said in manager.said} == {daemon.pid}


def test_a_hub_that_stands_still_gives_no_sign_of_life(site, listen):
    manager = listen(f"@ztaskd-{id(site)}-{site.folder.name}")  # (a socket without a file)
    site.start(**manager.env)
    manager.hears_more("WATCHDOG")
    task_id = site.call("from tests.project.shop.hogs import compute; show(compute.async_(1.5).id)")
    site.wait_status(task_id, "SUCCEEDED")
    manager.hears_more("WATCHDOG")
    assert longest_silence(manager) > 1.4


def test_hup_is_a_reload_which_ends_with_the_new_code_or_with_the_reason_of_its_refusal(edited, manager):
    daemon = edited.daemon = edited.site.start(cwd=edited.folder, PYTHONPATH=edited.path, **manager.env)
    edited.save(edited.more, "def (")
    daemon.signal(signal.SIGHUP)
    manager.hears("RELOADING", "1")
    status = manager.hears("READY", "1", 2).lines["STATUS"]
    assert status.startswith("the new code was refused, the old code goes on: ")
    assert "invalid syntax (more.py" in status
    edited.save(edited.more, "")
    edited.write("2")
    edited.call(f"show(gated.async_('long', {edited.gate}).id)")
    daemon.signal(signal.SIGHUP)
    reloading = manager.hears("RELOADING", "1", 2)
    manager.hears("STATUS", "reloading, 1 task(s) run")
    edited.open_gate()
    ready = manager.hears("READY", "1", 3)
    assert ready.at > int(reloading.lines["MONOTONIC_USEC"]) / 1e6 > 0
    assert ready.lines["STATUS"].startswith("0 task(s) run")
    assert "WATCHDOG" in manager.all("STATUS", "booting: loading the tasks")[1].lines  # (it is armed already)
    manager.hears_more("WATCHDOG")
    assert manager.all("STOPPING") == []
    assert {said.pid for said in manager.said} == {daemon.pid}
    edited.call(f"show(gated.async_('longer', {str(edited.folder / 'end')!r}).id)")
    edited.wait_line("began", "longer")
    daemon.signal(signal.SIGHUP)
    manager.hears("STATUS", "reloading, 1 task(s) run", 2)
    daemon.signal(signal.SIGTERM)  # a stop while it waits for tasks
    manager.hears("STOPPING")
    (edited.folder / "end").touch()
    assert daemon.wait() == 0


def test_under_the_reloader_the_parent_passes_on_what_the_daemon_says(edited, manager):
    edited.write("1", extra="\nfrom tests.project.shop.hogs import compute as hog\n")
    daemon = edited.start(**manager.env)
    manager.hears("READY")
    assert VARIABLES & set(edited.call("show(environment.async_().result(20))")) == set()
    edited.site.wait_status(edited.call("show(hog.async_(1.5).id)"), "SUCCEEDED")
    manager.hears_more("WATCHDOG")
    assert longest_silence(manager) > 1.4
    daemon.signal(signal.SIGHUP)
    manager.hears("RELOADING")
    manager.hears("READY", "1", 2)
    edited.save(edited.more, "def (")
    assert "invalid syntax (more.py" in manager.hears("READY", "1", 3).lines["STATUS"]
    edited.call("show(exits.async_().id)")
    daemon.says("is gone, and is started again")  # (it is not: the code is broken)
    manager.hears_more("WATCHDOG", 6)
    assert {said.pid for said in manager.said} == {daemon.pid}


@pytest.mark.parametrize("reload", [False, True], ids=["one process", "reloader"])
def test_a_manager_that_does_not_read_holds_nobody_up_and_hears_of_the_start_later(site, reload):
    manager = ServiceManager(site.folder / "notify")  # (it wants no signs of life, either)
    manager.fill()
    site.start(reload=reload, **manager.env)
    assert site.call("show(mark.async_('a').result(20))") == "a"
    manager.listen()
    try:
        manager.hears("READY")
    finally:
        manager.close()


def test_the_reason_of_a_start_that_fails_is_the_status(site, manager):
    daemon = site.start("--settings", "no.such.settings", ready=False, **manager.env)
    assert daemon.wait() == 2
    wait_for(lambda: manager.all("STATUS", "settings no.such.settings cannot be imported"), "the reason")
    assert manager.all("READY") == []
