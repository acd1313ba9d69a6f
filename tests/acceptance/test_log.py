"""The log never stops the work: rotated, on a full disk, or closed."""

import re

import pytest

from tests.acceptance.daemon import MANAGE, MODULE, wait_for

pytestmark = pytest.mark.acceptance

LINE = re.compile(
    r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ztaskd INFO task [0-9a-f-]{36} tests\.project\.shop\.tasks\.add "
    r"succeeded in \d+\.\d{3} s \(attempt 1\)$",
    re.MULTILINE,
)

# As rc.local may start it.
CLOSED = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"]


def works(site):
    return site.call("show(add.async_(1, 1).result(20))") == 2


def test_a_succeeded_task_is_one_line_in_the_documented_form_whatever_LOGGING_switches_off(new_site):
    site = new_site(LOGGING={"version": 1})  # (all loggers that there are by then)
    daemon = site.start()
    assert works(site)
    wait_for(lambda: "succeeded" in daemon.log, "its line")
    assert len(LINE.findall(daemon.log)) == 1


def test_a_log_that_was_rotated_away_goes_on_in_a_new_file(site):
    daemon = site.start()
    site.call("say.async_('first').result(20)")
    daemon.says("say succeeded")
    old = daemon.path.rename(daemon.path.with_suffix(".1"))
    site.call("add.async_(1, 1).result(20)")
    daemon.says("add succeeded")
    site.call("say.async_('second').result(20); shout.async_('third').result(20)")
    daemon.says("shout succeeded")
    assert "first" in old.read_text()
    assert "second" not in old.read_text()
    assert daemon.log.count("second") == 2
    assert "third\n" in daemon.log
    assert "ready in" not in daemon.log


def test_a_log_that_was_truncated_goes_on_at_its_beginning(site):
    daemon = site.start()
    assert works(site)
    daemon.says("add succeeded")
    daemon.path.write_text("")
    assert works(site)
    daemon.says("add succeeded")
    assert "\0" not in daemon.log


def test_a_log_whose_folder_has_gone_stops_no_task(site):
    folder = site.folder / "logs"
    folder.mkdir()
    daemon = site.start("-f", str(folder / "log"), ready=False)
    assert works(site)
    (folder / "log").unlink()
    folder.rmdir()
    assert works(site)
    site.call("say.async_('to nobody').result(20)")
    folder.mkdir()
    wait_for(lambda: works(site) and (folder / "log").exists(), "a new log in a new folder")
    assert daemon.stop() == 0


def test_a_full_disk_under_the_log_stops_no_task(site):
    daemon = site.start("-f", "/dev/full", ready=False)
    assert works(site)
    site.call("""
        from django_ztask.errors import TaskFailed
        for handle in [say.async_("x" * 100_000), fail.using(retry_count=0).async_(), shout.async_("child")]:
            try:
                handle.result(20)
            except TaskFailed:
                pass
    """)
    assert works(site)
    assert site.count(status="SUCCEEDED", failures=0) >= 3
    assert daemon.stop() == 0


@pytest.mark.parametrize("way", [MANAGE, MODULE], ids=["manage.py", "python -m"])
def test_with_its_standard_descriptors_closed_it_works(site, way):
    daemon = site.start(program=[*CLOSED, *way])
    site.call("say.async_('said').result(20); mark.map([f'm{n}' for n in range(50)])[-1].result(20)")
    assert len(site.wait_marks(50)) == 50
    assert daemon.log.count("said\n") == 2
    assert daemon.stop() == 0


def test_with_nowhere_to_log_to_it_works(site):
    daemon = site.start(program=[*CLOSED, *MODULE], log=False, ready=False)
    assert works(site)
    site.call("say.async_('to nobody').result(20)")
    assert works(site)
    assert daemon.stop() == 0


def test_when_the_reader_of_its_output_has_gone_it_goes_on(site):
    """`manage.py ztaskd | head -1`: the pipe closes at the first line."""
    reader = ["sh", "-c", '{ "$@" & echo $! >&3; wait $!; echo $? >&3; } 3>ended | head -1', "sh", *MANAGE]
    program = site.run_in_background([*reader, "--noreload"], cwd=site.folder)
    wait_for(lambda: "ready in" in program.text, "its first line")
    assert works(site)
    site.call("say.async_('to nobody').result(20)")
    assert works(site)
    ended = site.folder / "ended"
    pid = int(ended.read_text().split()[0])
    site.call(f"os.kill({pid}, 15)")
    wait_for(lambda: len(ended.read_text().split()) == 2, "its end")
    assert ended.read_text().split()[1] == "0"


def test_the_projects_own_loggers_reach_the_log_file_with_the_tasks_id(site):
    daemon = site.start()
    task_id = site.call("h = log.async_('own words'); h.result(20); show(h.id)")
    assert f" shop WARNING task {task_id}: own words" in daemon.says("own words")
