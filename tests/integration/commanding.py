"""Commands run in the test's own process."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from ztaskd import cli, commands
from ztaskd.project import Refusal

Command = Callable[..., tuple[int, str]]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs one in this process: its exit code, and what it says."""

    def run(*arguments: str) -> tuple[int, str]:
        try:
            code = commands._run(cli.parse(list(arguments)))
        except Refusal as refusal:
            capsys.readouterr()
            return refusal.code, str(refusal)
        return code, capsys.readouterr().out

    return run


def listed(command: Command, *arguments: str) -> list[str]:
    code, text = command("list", "--json", *arguments)
    assert code == 0
    return [json.loads(line)["id"] for line in text.splitlines()]
