"""What an idle daemon costs, and how soon tasks start: printed at the end of the run, hardly asserted."""

import os
import re
import statistics
import time
from pathlib import Path

import pytest

from tests.acceptance.daemon import MANAGE, wait_for

pytestmark = [pytest.mark.acceptance, pytest.mark.faults]
PROGRAM = MANAGE  # as most projects start it

IDLE = 5.0  # seconds


def processor_seconds(pid):
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def milliseconds(times):
    return (
        f"median {statistics.median(times) * 1000:.1f} ms, worst {max(times) * 1000:.1f} ms of {len(times)}"
    )


def starts(site):
    """When each marked task started, by its word."""
    return {line[1]: float(line[2]) for line in site.ledger if line[0] == "mark"}


def test_an_idle_daemon_costs_next_to_nothing(site, figure):
    daemon = site.start()
    site.call("mark.map([f'm{n}' for n in range(100)])[-1].result(20)")
    site.wait_count(100, status="SUCCEEDED")
    before = processor_seconds(daemon.pid)
    time.sleep(IDLE)
    used = (processor_seconds(daemon.pid) - before) / IDLE
    memory = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{daemon.pid}/status").read_text())[1]
    figure(f"idle processor time: {used:.2%}; resident memory: {int(memory) / 1024:.0f} MB")
    assert used < 0.03


def test_how_soon_a_task_starts_after_its_call(site, figure):
    site.start()
    calls = site.call("""
        calls = {}
        for n in range(50):
            now = time.time()
            mark.async_(f"m{n}").result(20)
            calls[f"m{n}"] = now
            time.sleep(0.02)
        show(calls)
    """)
    found = starts(site)
    times = [found[word] - called for word, called in calls.items()]
    figure(
        f"call to start, idle: {milliseconds(times[1:])}; the first of that process {times[0] * 1000:.1f} ms"
    )
    assert statistics.median(times) < 0.25


def test_how_soon_the_first_task_of_a_fresh_process_starts(site, figure):
    site.start()
    from_call, from_return = [], []
    for n in range(5):
        called, returned = site.call(f"""
            called = time.time()
            handle = mark.async_('m{n}')
            returned = time.time()
            handle.result(20)
            show([called, returned])
        """)
        from_call.append(starts(site)[f"m{n}"] - called)
        from_return.append(starts(site)[f"m{n}"] - returned)
    figure(f"call to start, first task of a fresh process: {milliseconds(from_call)}")
    figure(f"    and from the call's return: {milliseconds(from_return)}")
    assert statistics.median(from_call) < 0.25


def test_how_soon_after_its_start_the_daemon_runs_the_first_task(site, figure):
    times = []
    for n in range(3):
        site.call(f"mark.async_('m{n}')")
        daemon = site.start()
        wait_for(lambda n=n: f"m{n}" in starts(site), "the first task")
        times.append(starts(site)[f"m{n}"] - daemon.began)
        assert daemon.stop() == 0
    figure(f"start of the daemon to its first task: {milliseconds(times)}")
    assert statistics.median(times) < 10
