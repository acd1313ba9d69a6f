"""A project's folder that is really watched, by events and by polling."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.reload.watched import Watched
from ztaskd.reload import watching

Watch = Callable[..., Watched]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A package, and what lies beside it in most projects."""
    folder = tmp_path / "project"
    (folder / "shop").mkdir(parents=True)
    (folder / "manage.py").write_text("import shop\n")
    (folder / "shop" / "__init__.py").touch()
    (folder / "shop" / "views.py").write_text("answer = 41\n")
    (folder / "shop" / "models.py").write_text("size = 1\n")
    (folder / "shop" / "page.html").write_text("<p>")
    return folder


@pytest.fixture
def watch(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    """Starts a watcher; of the project, if nothing else is given. More often than in use, so that tests are short."""
    monkeypatch.setattr(watching, "POLL", 0.1)
    monkeypatch.setattr(watching, "TICK", 0.1)
    watched: list[Watched] = []

    def start(*folders: Path, files: tuple[Path, ...] = (), poll: bool = False) -> Watched:
        watched.append(Watched(project.parent, folders or (project,), files, poll))
        return watched[-1]

    yield start
    for each in watched:
        each.watcher.stop()


@pytest.fixture(params=["events", "polling"])
def how(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def watched(watch: Watch, how: str) -> Watched:
    """The project, watched in both ways."""
    return watch(poll=how == "polling")
