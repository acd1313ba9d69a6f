"""A project whose code is edited while its daemon runs: one app beside the test site, in a folder of its own."""

from __future__ import annotations

import json
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

if "EDITED_CALLER" not in os.environ:  # what is broken breaks the daemon, not the callers
    import edited.more

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

@task()
def gated(number, gate):
    """Ends once there is a file at `gate`."""
    note("began", number, VERSION, os.getpid(), time.time())
    while not os.path.exists(gate):
        time.sleep(0.01)
    note("ended", number, VERSION, os.getpid(), time.time())

@task(pool="process")
def compute(number, gate):
    gated.function(number, gate)

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
        self.more = self.tasks.parent / "more.py"
        for path in (self.tasks.parent / "__init__.py", self.more):
            path.touch()
        self.gate = f"'{site.gate}'"
        site.settings |= {"ZTASKD_IMPORTS": ["edited.tasks"], "ZTASKD_ON_LOAD": ["edited.tasks.loaded"]}
        self.write("1")

    @property
    def path(self) -> str:
        return os.pathsep.join([str(ROOT), str(self.folder)])

    def write(self, version: str, on_load: str = "pass", extra: str = "") -> None:
        """Saves the tasks' module."""
        self.save(self.tasks, TASKS.format(version=version, on_load=on_load) + extra)

    def save(self, path: Path, text: str) -> None:
        """At once: a new file takes the old one's place."""
        new = path.with_name(f".{path.name}.new")
        new.write_text(text)
        new.replace(path)

    def start(self, *args: str, **more: Any) -> Daemon:
        self.daemon = self.site.start(*args, reload=True, cwd=self.folder, PYTHONPATH=self.path, **more)
        return self.daemon

    def call(self, code: str) -> Any:
        """Runs `code` in a caller, to its end. Returns the last value it has shown."""
        program = self.spawn(code)
        assert program.wait(60) == 0, program.text
        shown = program.text.splitlines()
        return json.loads(shown[-1]) if shown else None

    def spawn(self, code: str) -> Program:
        env = {"PYTHONPATH": self.path, "EDITED_CALLER": "1"}
        return self.site.spawn(f"from edited.tasks import *\n{code}", **env)

    def open_gate(self) -> None:
        self.site.gate.touch()

    def version(self) -> str:
        """Of the code that runs a task now."""
        return str(self.call("show(version.async_().result(20))"))

    def wait_boots(self, number: int) -> None:
        """Until so many daemons have been ready since the start."""
        wait_for(
            lambda: self.daemon.log.count(" ready in ") >= number, f"{number} daemons: {self.daemon.log}"
        )

    def serving(self) -> int:
        """The process id of the daemon that was ready last."""
        line = [line for line in self.daemon.log.splitlines() if " ready in " in line][-1]
        return int(line.split(" pid ")[1].split(",")[0])

    def lines(self, word: str) -> list[list[str]]:
        return [line[1:] for line in self.site.ledger if line[0] == word]

    def wait_line(self, word: str, *start: str) -> list[str]:
        """The first such line of the ledger, once it is there."""
        found = wait_for(
            lambda: [line for line in self.lines(word) if tuple(line[: len(start)]) == start],
            f"{word} {start}",
        )
        return list(found[0])


def is_gone(pid: int) -> bool:
    """Whether there is no such process any more."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False
