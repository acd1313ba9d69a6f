"""What the three ways to start it say, and the exit codes."""

import fcntl
import os
import shutil
import sys

import pytest

from tests.acceptance.daemon import MANAGE, MODULE, PROJECT, ROOT, free_port

pytestmark = pytest.mark.acceptance
PROGRAM = MANAGE  # as most projects start it

SCRIPT = shutil.which("ztaskd", path=os.path.dirname(sys.executable))

WAYS = {"manage.py": MANAGE, "python -m": MODULE}


@pytest.mark.parametrize("way", WAYS)
def test_each_way_to_start_it_serves_and_stops(site, way):
    daemon = site.start(program=WAYS[way])
    assert site.call("show(add.async_(1, 1).result(20))") == 2
    assert f"pid {daemon.pid}," in daemon.log  # manage.py execs: the same process
    assert daemon.stop() == 0


@pytest.mark.skipif(SCRIPT is None, reason="the console script is not installed beside this Python")
def test_the_console_script_finds_the_settings_of_the_manage_py_in_its_folder(site):
    daemon = site.start(program=[SCRIPT], cwd=PROJECT, DJANGO_SETTINGS_MODULE="")
    assert site.call("show(add.async_(1, 1).result(20))") == 2
    assert daemon.stop() == 0


def test_what_tasks_start_does_not_inherit_the_daemons_own_variables(site):
    site.start()
    found = site.call("show(environment.async_().result(20))")
    assert [name for name in found if name.startswith("ZTASKD")] == []
    assert found["PYTHONPATH"] == str(ROOT)


@pytest.mark.parametrize("program", WAYS.values(), ids=WAYS)
def test_version_and_help_need_no_database(site, program):
    site.database.unlink()
    code, text = site.command("--version", program=program)
    assert (code, text) == (0, "ztaskd 1.0.0.dev0\n")
    code, text = site.command("--help", program=program)
    assert code == 0
    for flag in ("--noreload", "--loglevel", "--logfile", "--replayfailed", "--concurrency", "--grace"):
        assert flag in text
    assert ("manage.py ztaskd" in text) == (program is MANAGE)


def test_wrong_usage_is_exit_2(site):
    for flags in (["--no-such-flag"], ["-l", "LOUD"], ["-c", "0"], ["--grace", "-1"], ["--grace", "nan"]):
        code, text = site.command(*flags)
        assert code == 2, (flags, text)
        assert flags[-1] in text
        assert "Traceback" not in text
    code, text = site.command("--noreload", "-f", str(site.folder / "no" / "folder" / "log"))
    assert code == 2, text
    assert "--logfile" in text


def test_unknown_settings_are_exit_2(site):
    code, text = site.command("--settings", "no.such.settings", program=MODULE[:3])
    assert code == 2
    assert "no.such.settings" in text


def test_no_project_is_exit_2_and_says_how_to_name_one(site):
    env = site.env()
    del env["DJANGO_SETTINGS_MODULE"]
    code, text = site.command("--noreload", program=MODULE[:3], env=env, cwd=site.folder)
    assert code == 2
    assert "manage.py" in text
    assert "--settings" in text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ZTASKD_URL", "not a url"),
        ("ZTASKD_URL", "tcp://0.0.0.0:5599"),
        ("ZTASKD_RETRY_AFTER", "soon"),
        ("ZTASKD_ON_LOAD", ["tests.project.shop.tasks.nothing"]),
        ("ZTASKD_IMPORTS", ["tests.project.nothing"]),
        ("ZTASKD_DATABASE", "nothing"),
    ],
)
def test_settings_that_cannot_work_are_exit_2_and_named(new_site, name, value):
    site = new_site(**{name: value})
    code, text = site.command("--noreload")
    assert code == 2, text
    assert name in text or "tests.project.nothing" in text


def test_an_unknown_setting_is_a_warning_that_guesses_the_right_name(new_site):
    site = new_site(ZTASKD_RETRY_COUTN=3)
    daemon = site.start()
    assert "Did you mean ZTASKD_RETRY_COUNT?" in daemon.log
    assert daemon.stop() == 0


def test_what_on_load_raises_is_exit_1_with_its_traceback(new_site):
    site = new_site(ZTASKD_ON_LOAD=["tests.project.shop.trouble.bad_on_load"])
    code, text = site.command("--noreload")
    assert code == 1
    assert "bad_on_load" in text
    assert "RuntimeError: not today" in text


def test_a_pidfile_that_cannot_be_had_is_exit_4(site):
    path = site.folder / "pid"
    with path.open("w") as held:
        held.write("4711")
        held.flush()
        fcntl.flock(held, fcntl.LOCK_EX)
        code, text = site.command("--noreload", "--pidfile", str(path))
    assert code == 4
    assert "4711" in text
    code, text = site.command("--noreload", "--pidfile", str(site.folder / "no" / "pid"))
    assert code == 4, text


def test_a_pidfile_lives_as_long_as_the_daemon(site):
    path = site.folder / "pid"
    path.write_text("999999")  # left behind
    daemon = site.start("--pidfile", str(path))
    assert path.read_text().strip() == str(daemon.pid)
    assert daemon.stop() == 0
    assert not path.exists()


def test_without_its_database_it_is_exit_5_and_names_the_command(site):
    site.database.unlink()
    code, text = site.command("--noreload")
    assert code == 5
    assert "manage.py migrate" in text
    assert not site.database.exists()  # it was not made by asking
    site.database.touch()
    code, text = site.command("--noreload")
    assert code == 5
    assert "manage.py migrate" in text
    site.database.write_text("this is no database, and it is longer than a header of a hundred bytes" * 9)
    code, text = site.command("--noreload")
    assert code == 5, text
    assert "Traceback" not in text


def test_a_database_whose_folder_is_missing_is_exit_5(site):
    code, text = site.command("--noreload", env=site.env(SHOP_DATABASE=str(site.folder / "no" / "db")))
    assert code == 5, text
    assert "Traceback" not in text


def test_check_says_what_is_wrong_or_that_all_is_well(site):
    code, text = site.command("--check")
    assert code == 0, text
    assert "fine" in text
    site.database.unlink()
    code, text = site.command("--check")
    assert code == 5
    site.settings["ZTASKD_RETRY_COUNT"] = -1
    code, text = site.command("--check")
    assert code == 2
    assert "ZTASKD_RETRY_COUNT" in text


def test_what_check_says_is_not_lost_in_a_buffer(site):
    code, text = site.command("--check", env=site.env(PYTHONUNBUFFERED=""))
    assert (code, "fine" in text) == (0, True), text


def test_check_works_while_a_daemon_runs(new_site):
    site = new_site(ZTASKD_URL=f"tcp://127.0.0.1:{free_port()}")
    site.start()
    code, text = site.command("--check")
    assert code == 0, text
    assert site.call("show(add.async_(1, 1).result(20))") == 2


def test_the_level_is_taken_in_any_case(site):
    daemon = site.start("-l", "wArNiNg", ready=False)
    site.call("fail.using(retry_count=0).async_('told')")
    daemon.says("failed in")
    site.call("add.async_(1, 1).result(20)")
    assert "INFO" not in daemon.log
    assert daemon.stop() == 0


def test_without_a_log_file_the_log_is_standard_output(site):
    daemon = site.start(log=False)
    site.call("say.async_('said').result(20)")
    assert "said\n" in daemon.text
    daemon.says("shop.tasks.say succeeded in")
    assert daemon.stop() == 0
