"""A real supervisord, and its supervisorctl."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.acceptance.daemon import PATIENCE, Program, wait_for

CONFIGURATION = """\
[unix_http_server]
file={folder}/socket
[supervisord]
nodaemon=true
logfile={folder}/supervisord.log
pidfile={folder}/pid
childlogdir={folder}
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://{folder}/socket
"""


class Supervisor:
    """Runs the programs of `text`."""

    def __init__(self, folder: Path, text: str, env: dict[str, str]) -> None:
        folder.mkdir()
        self.path = folder / "supervisord.conf"
        self.path.write_text(CONFIGURATION.format(folder=folder) + text)
        self.env = env
        command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(self.path)]
        self.program = Program(command, env, folder, folder / "out")

    def control(self, *args: str) -> str:
        """What supervisorctl prints."""
        done = subprocess.run(
            [sys.executable, "-m", "supervisor.supervisorctl", "-c", str(self.path), *args],
            env=self.env,
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE,
            check=False,
        )
        return done.stdout + done.stderr

    def becomes(self, state: str) -> str:
        """Waits until ztaskd is. Returns the rest of the line."""
        line = wait_for(
            lambda: status if f" {state} " in (status := self.control("status", "ztaskd")) else None,
            f"{state}: {self.control('status')}",
        )
        return str(line).split(state)[1].strip()

    def pid(self) -> int:
        return int(self.control("pid", "ztaskd"))

    def close(self) -> None:
        """It takes its programs along, as it would when the machine stops."""
        self.program.process.terminate()
        self.program.wait(2 * PATIENCE)
