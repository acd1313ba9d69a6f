"""Fixtures: a migrated database (made once, copied), a site for each test, and the printed figures."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.daemon import MANAGE, MODULE, PATIENCE, ROOT
from tests.acceptance.edited import Edited
from tests.acceptance.postgres_site import PostgresSite
from tests.acceptance.site import Site

_figures: list[str] = []


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    empty = folder / "empty"
    empty.touch()
    site = Site(folder, empty)
    subprocess.run([*MANAGE[:2], "migrate", "-v0"], env=site.env(), cwd=ROOT, check=True, timeout=PATIENCE)
    return site.database


@pytest.fixture
def new_site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, template: Path, vendor: str
) -> Iterator[Callable[..., Site]]:
    """Makes sites; keyword arguments are settings. Daemons start the quickest way, or as the test's
    module says with PROGRAM."""
    sites: list[Site] = []

    def make(**settings: Any) -> Site:
        kind = PostgresSite if vendor == "postgresql" else Site
        sites.append(kind(tmp_path_factory.mktemp("s"), template, **settings))
        sites[-1].program = getattr(request.module, "PROGRAM", MODULE)
        return sites[-1]

    yield make
    for site in sites:
        site.close()


@pytest.fixture
def site(new_site: Callable[..., Site]) -> Site:
    return new_site()


@pytest.fixture
def edited(site: Site) -> Edited:
    """A project whose code is edited."""
    return Edited(site)


@pytest.fixture
def figure() -> Callable[[str], None]:
    """Takes a line for the end of the test run: measured, not asserted."""
    return _figures.append


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if _figures:
        terminalreporter.section("figures")
        for line in _figures:
            terminalreporter.write_line(line)
