"""A project whose code is edited while its daemon runs: one app beside the test site, in a folder of its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tests.acceptance.daemon import ROOT, Daemon, Program, wait_for
from tests.acceptance.site import Site

TASKS = '''
import os, time
from django_ztask import current_task, task
from tests.project.shop.tasks import note

VERSION = {version!r}

@task()
def version():
    return VERSION

@task(retry_after=0.05)
def work(number, seconds=0.0):
    """Each attempt leaves when it began, under which code, and how it ended."""
    note("began", number, VERSION, os.getpid(), time.time())
    try:
        time.sleep(seconds)
    except BaseException as error:
        note("cut", number, type(error).__name__)
        raise
    note("ended", number, VERSION, os.getpid(), time.time())

@task(pool="process")
def compute(number, seconds=0.0):
    work.function(number, seconds)

def loaded():
    {on_load}
'''


class Edited:
    """The code, its daemon, and its callers."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.folder = site.folder / "code"
        self.tasks = self.folder / "edited" / "tasks.py"
        self.tasks.parent.mkdir(parents=True)
        (self.tasks.parent / "__init__.py").touch()
        site.settings |= {"ZTASKD_IMPORTS": ["edited.tasks"], "ZTASKD_ON_LOAD": ["edited.tasks.loaded"]}
        self.write("1")

    @property
    def path(self) -> str:
        return os.pathsep.join([str(ROOT), str(self.folder)])

    def write(self, version: str, on_load: str = "pass", extra: str = "") -> None:
        """Saves the tasks' module as most editors do: a new file takes the old one's place."""
        self.save(self.tasks, TASKS.format(version=version, on_load=on_load) + extra)

    def save(self, path: Path, text: str) -> None:
        new = path.with_name(f".{path.name}.new")
        new.write_text(text)
        new.replace(path)

    def start(self, *args: str, **more: Any) -> Daemon:
        self.daemon = self.site.start(*args, reload=True, cwd=self.folder, PYTHONPATH=self.path, **more)
        return self.daemon

    def call(self, code: str) -> Any:
        return self.site.call(f"from edited.tasks import *\n{code}", PYTHONPATH=self.path)

    def spawn(self, code: str) -> Program:
        return self.site.spawn(f"from edited.tasks import *\n{code}", PYTHONPATH=self.path)

    def version(self) -> str:
        """Of the code that runs a task now."""
        return str(self.call("show(version.async_().result(20))"))

    def wait_boots(self, number: int) -> None:
        """Until so many daemons have been ready since the start."""
        wait_for(lambda: self.daemon.log.count(" ready in ") >= number, f"{number} daemons: {self.daemon.log}")

    def serving(self) -> int:
        """The process id of the daemon that was ready last."""
        line = [line for line in self.daemon.log.splitlines() if " ready in " in line][-1]
        return int(line.split(" pid ")[1].split(",")[0])

    def lines(self, word: str) -> list[list[str]]:
        return [line[1:] for line in self.site.ledger if line[0] == word]

    def wait_line(self, word: str, *start: str) -> list[str]:
        """The first such line of the ledger, once it is there."""
        found = wait_for(
            lambda: [line for line in self.lines(word) if tuple(line[: len(start)]) == start], f"{word} {start}"
        )
        return list(found[0])
