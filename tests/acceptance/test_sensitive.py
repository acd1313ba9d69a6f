"""What @task(sensitive=...) hides is in the row's arguments, and nowhere else."""

import json

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


def test_a_sensitive_argument_is_in_its_row_alone(site):
    daemon = site.start("-l", "DEBUG", "--worker-pool-size", "2")
    made = site.call(CALLS)
    for task_id in made:
        wait_for(lambda task_id=task_id: site.task(task_id)["status"] in ("FAILED", "SUCCEEDED"), "its end")
        row = site.task(task_id)
        assert {name for name, value in row.items() if leaks(str(value))} <= ARGUMENTS
    commands = ("show --json", "show --json", "show", "explain")
    said = [site.command(*command.split(), task_id) for task_id, command in zip(made, commands, strict=False)]
    said.append(site.command("list", "--json"))
    assert [(code, leaks(text)) for code, text in said] == [(0, [])] * 5
    by_position, by_keyword = [json.loads(text) for _, text in said[:2]]
    assert (by_position["args"], by_position["kwargs"]) == (["ada", "***"], {})
    assert (by_keyword["args"], by_keyword["kwargs"]["token"]) == (["ada"], "***")
    assert 'LoginError: ada with "***" and ()' in by_position["exception"]
    assert SECRET in json.loads(site.task(made[0])["args"])
    assert leaks(json.dumps(site.sql("SELECT exception, traceback FROM django_ztask_attempt"))) == []
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
