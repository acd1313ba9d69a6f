"""What @task(sensitive=...) hides is in the row's arguments, and nowhere else."""

import json
from itertools import cycle

import pytest

from tests.acceptance.daemon import wait_for

pytestmark = pytest.mark.acceptance

SECRET = "hunter2 'swordfish'\nZoë"
PARTS = ("hunter2", "swordfish")

CALLS = f"""
    token = {SECRET!r}
    sensitive = forget.using(retry_count=0, sensitive=["token"])
    show([handle.id for pool in ("greenlet", "process") for handle in (
        login.using(pool=pool).async_("ada", token),
        login.using(pool=pool).async_("ada", token=token, attempts=[1]),
        login.using(pool=pool).async_("ada", (token,)),
        sensitive.using(pool=pool).async_("ada", [token, {{"a": token}}]),
        odd_result.using(pool=pool).async_(token),
    )])
"""

ARGUMENTS = {"args", "kwargs"}


def leaks(text):
    return [line for line in text.splitlines() if any(part in line for part in PARTS)]


@pytest.mark.both_databases
def test_a_sensitive_argument_is_in_its_row_alone(site):
    daemon = site.start("-l", "DEBUG", "--worker-pool-size", "2")
    made = site.call(CALLS)
    for task_id in made:
        wait_for(lambda task_id=task_id: site.task(task_id)["status"] in ("FAILED", "SUCCEEDED"), "its end")
        row = site.task(task_id)
        assert {name for name, value in row.items() if leaks(str(value))} <= ARGUMENTS
    for task_id, command in zip(
        made, cycle(["show", "show --json", "explain", "explain --json"]), strict=False
    ):
        code, text = site.command(*command.split(), task_id)
        assert code == 0
        assert leaks(text) == [], command
    by_position, by_keyword, *_ = [
        json.loads(site.command("show", task_id, "--json")[1]) for task_id in made[:2]
    ]
    assert (by_position["args"], by_position["kwargs"]) == (["ada", "***"], {})
    assert (by_keyword["args"], by_keyword["kwargs"]["token"]) == (["ada"], "***")
    assert 'LoginError: ada with "***" and ()' in by_position["exception"]
    assert SECRET in json.loads(site.task(made[0])["args"])
    assert leaks(site.command("list", "--json")[1] + site.command("list")[1]) == []
    assert leaks(json.dumps(site.sql("SELECT exception, traceback FROM django_ztask_attempt"))) == []
    assert leaks(site.command("replay", "--dry-run")[1]) == []
    assert daemon.stop() == 0
    assert 'with ["ada","***"] {}' in daemon.log, "DEBUG tells the others"
    assert leaks(daemon.log + daemon.text) == []


def test_what_callers_print_shows_none(new_site):
    site = new_site(ZTASKD_DISABLED=True)
    code = f"""
        import logging
        logging.basicConfig(level=1, stream=sys.stdout)
        token = {SECRET!r}
        print(repr(login.async_("ada", token)), login)
        for wrong in (lambda: login.async_(token), lambda: login.async_("ada", token, token)):
            try:
                wrong()
            except TypeError as error:
                print(error)
        show(1)
    """
    program = site.spawn(code)
    assert program.wait() == 0
    assert "not executed: ZTASKD_DISABLED is set" in program.text
    assert "missing a required argument: 'token'" in program.text
    assert leaks(program.text) == []
