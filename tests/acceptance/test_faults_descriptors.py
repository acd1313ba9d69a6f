"""The daemon may open no more files: it goes on as far as it can, and recovers by itself."""

import os
from pathlib import Path

import pytest

from tests.acceptance.daemon import MODULE, free_port, wait_for
from tests.acceptance.faults import settled, with_few_files

pytestmark = [pytest.mark.acceptance, pytest.mark.faults, pytest.mark.both_databases]

FILES = 100


def test_while_there_are_no_more_files_to_open_nothing_is_lost_and_afterwards_all_goes_on(new_site, vendor):
    # (libzmq's ipc:// listener ends the process when it cannot accept a connection; its tcp:// one does not)
    site = new_site(ZTASKD_URL=f"tcp://127.0.0.1:{free_port()}")
    daemon = site.start(program=with_few_files(MODULE, FILES))
    gate = site.gate
    hoarder = site.call(f"add.async_(1).result(20); show(hoard.async_({str(gate)!r}).id)")
    fds = Path(f"/proc/{daemon.pid}/fd")
    wait_for(lambda: len(os.listdir(fds)) == FILES, "all files to be open")
    if vendor == "postgresql":
        site.made.disconnect_all()  # and a new connection cannot be made
    ids = site.call("show([add.async_(n).id for n in range(20)])")
    if vendor == "postgresql":
        daemon.says("degraded: ")
    gate.touch()
    for task_id in [hoarder, *ids]:
        assert settled(site.wait_status(task_id, "SUCCEEDED")) == (1, 0, 0, 0)
    assert site.call("show(add.async_(1, 1).result(20))") == 2
    assert "died" not in daemon.log
    assert daemon.stop() == 0
