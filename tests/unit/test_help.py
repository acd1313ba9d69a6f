"""What `ztaskd --help` and README.md say of flags and signals is what the program knows."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from ztaskd.again import MINDED
from ztaskd.cli import Exit, build_parser
from ztaskd.epilog import EPILOG

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()
DAEMON = README.partition("## The daemon")[2].partition("**Looking and mending**")[0]
ACTIONS = [action for action in build_parser()._actions if action.option_strings]


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.option_strings[-1])
def test_every_flag_is_in_the_readme(action: argparse.Action) -> None:
    assert any(option in DAEMON for option in action.option_strings) or "--help" in action.option_strings


@pytest.mark.parametrize("name", sorted(number.name.removeprefix("SIG") for number in MINDED))
def test_every_signal_is_in_the_help_and_in_the_readme(name: str) -> None:
    assert name in EPILOG
    assert name in DAEMON


def test_every_exit_code_is_in_the_help() -> None:
    codes = EPILOG.partition("exit codes:")[2].partition("examples:")[0]
    assert all(f" {int(code)} " in codes.replace("\n", " ") for code in Exit)
