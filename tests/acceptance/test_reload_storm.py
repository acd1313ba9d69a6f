"""A storm of edits over a steady stream of tasks: nothing is lost, nothing runs twice that was not interrupted.
ZTASKD_STORM: how many seconds of it (scripts/reload-storm: 60).
"""

import json
import os

import pytest

from tests.acceptance.daemon import wait_for
from tests.acceptance.storm import RATE, Probe, Storm, judge, wait_until_all_is_done

pytestmark = pytest.mark.acceptance

SECONDS = float(os.environ.get("ZTASKD_STORM", "12"))
SEED = int(os.environ.get("ZTASKD_STORM_SEED", "1"))


def test_no_task_is_lost_while_its_code_is_edited_broken_repaired_and_replaced(edited, figure):
    storm = Storm(edited, SEED)
    storm.prepare()
    probe = Probe(edited.site.folder / "run" / "node")
    probe.start()
    caller = storm.run(SECONDS)
    assert caller.wait(SECONDS + 120) == 0, caller.text
    probe.ended.set()
    longest, errors, ids = json.loads(caller.text.splitlines()[-1])
    wait_for(lambda: edited.version() == "last", "the last code", 120)
    edited.call("[work.async_(f'after-{n}') for n in range(50)]; show(1)")
    edited.wait_line("ended", "after-49", "last")
    wait_until_all_is_done(storm, 120)
    verdict = judge(storm, ids)
    reloads = storm.reloads()
    figure(
        f"storm of {SECONDS:g} s (seed {SEED}): {len(ids)} tasks, {dict(storm.done)}, {reloads} reloads, "
        f"{verdict.interrupted} interruptions, longest call {longest * 1000:.0f} ms, "
        f"longest time without a node {max(probe.gaps, default=0) * 1000:.0f} ms"
    )
    assert errors == []
    assert len(ids) == int(SECONDS * RATE)
    assert verdict.lost == []
    assert verdict.failed == []
    assert verdict.twice == []
    assert verdict.late == []
    assert verdict.starved == []
    assert {line[1] for line in edited.lines("began") if line[0].startswith("after")} == {"last"}
    assert reloads >= 2
    assert edited.daemon.log.count("killed") == 0
    assert edited.daemon.stop() == 0
