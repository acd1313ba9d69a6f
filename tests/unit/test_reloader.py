"""The reloader: what it says to daemons, and what it makes of their ends."""

import signal

import pytest

from tests.unit.reloading import Daemon, Files, Loop, ends, refuses, says, serve
from ztaskd.reload import reloader as module
from ztaskd.reload.protocol import GO, HAND_OVER, READY, RELEASED, SERVING, STOPPING, Feed, pack
from ztaskd.reload.reloader import Reloader


def test_messages_come_out_as_they_went_in_however_they_are_cut():
    data = pack(READY, url="tcp://a:1", folders=["/a\udcff"], files=[]) + pack(SERVING)
    for cut in range(len(data)):
        feed = Feed()
        found = [*feed.add(data[:cut]), *feed.add(data[cut:])]
        assert [message["word"] for message in found] == [READY, SERVING]
        assert found[0]["folders"] == ["/a\udcff"]


@pytest.fixture
def made(monkeypatch):
    monkeypatch.setattr(module, "Child", Daemon)
    monkeypatch.setattr(Daemon, "made", [])
    return Daemon.made


@pytest.fixture
def reloader(made):
    reloader = Reloader(5.0, Files(), Loop())
    reloader.begin()
    return reloader


def test_the_first_daemon_takes_over_as_soon_as_it_is_ready(reloader, made):
    serve(reloader, made[0])
    assert made[0].heard == [GO]
    assert reloader.serving is made[0]
    assert made[0].replay


def test_new_code_is_told_to_go_only_when_the_old_one_has_let_go(reloader, made):
    old = made[0]
    serve(reloader, old)
    reloader.changed(frozenset())
    new = made[1]
    assert (new.predecessor, new.replay) == (old, False)
    says(reloader, new, READY)
    assert (old.heard, new.heard) == ([GO, HAND_OVER], [])
    says(reloader, old, RELEASED)
    assert new.heard == [GO]
    says(reloader, new, SERVING)
    assert reloader.serving is new
    ends(reloader, old, 0)
    assert reloader.others == []


def test_a_change_during_a_boot_begins_anew_and_never_touches_who_serves(reloader, made):
    serve(reloader, made[0])
    for number in range(1, 6):
        reloader.changed(frozenset())
        assert reloader.coming is made[number]
    assert [daemon.heard for daemon in made] == [[GO], *[["KILL"]] * 4, []]


def test_a_change_during_a_hand_over_waits_until_somebody_serves(reloader, made):
    serve(reloader, made[0])
    reloader.changed(frozenset())
    says(reloader, made[1], READY)
    reloader.changed(frozenset())
    says(reloader, made[0], RELEASED)
    reloader.changed(frozenset())
    assert len(made) == 2
    says(reloader, made[1], SERVING)
    assert len(made) == 3
    assert made[1].heard == [GO]


def test_when_the_old_one_dies_while_it_hands_over_the_new_one_goes(reloader, made):
    serve(reloader, made[0])
    reloader.changed(frozenset())
    says(reloader, made[1], READY)
    ends(reloader, made[0], -9)
    assert made[1].heard == [GO]


def test_when_the_new_one_dies_before_the_old_has_let_go_another_one_boots(reloader, made):
    serve(reloader, made[0])
    reloader.changed(frozenset())
    says(reloader, made[1], READY)
    ends(reloader, made[1], 1)
    assert len(made) == 2  # (the old one still has everything)
    says(reloader, made[0], RELEASED)
    assert len(made) == 3
    serve(reloader, made[2])
    assert reloader.serving is made[2]


@pytest.mark.parametrize("code", [1, 2, 3, 5, -9])
def test_whatever_ends_the_new_one_after_the_old_has_let_go_it_is_tried_again(reloader, made, code):
    serve(reloader, made[0])
    reloader.changed(frozenset())
    says(reloader, made[1], READY)
    says(reloader, made[0], RELEASED)
    refuses(reloader, made[1], code)
    assert reloader.wait() is not None
    reloader.failures.retry = 0.0
    reloader.tick()
    serve(reloader, made[2])
    assert reloader.serving is made[2]


@pytest.mark.parametrize("code", [3, 5, -11])
def test_what_no_edit_mends_is_tried_again_while_the_old_one_serves(reloader, made, code):
    serve(reloader, made[0])
    reloader.changed(frozenset())
    refuses(reloader, made[1], code) if code > 0 else ends(reloader, made[1], code)
    assert reloader.wait() is not None
    assert made[0].heard == [GO]


@pytest.mark.parametrize("code", [1, 2])
def test_what_an_edit_mends_waits_for_one(reloader, made, code):
    refuses(reloader, made[0], code)
    assert reloader.wait() is None
    assert not reloader.over()
    reloader.changed(frozenset())
    assert len(made) == 2


@pytest.mark.parametrize(("code", "final"), [(2, True), (3, False), (5, False)])
def test_a_first_start_that_no_edit_mends_ends_with_its_code(reloader, made, code, final, capfd):
    refuses(reloader, made[0], code, final)
    assert reloader.over()
    assert reloader.code == code
    assert "ztaskd: why" in capfd.readouterr().err


def test_who_does_not_let_go_is_killed_after_the_grace_and_the_new_one_goes(reloader, made, monkeypatch):
    serve(reloader, made[0])
    reloader.changed(frozenset())
    says(reloader, made[1], READY)
    assert 0 < reloader.wait() <= 5.0 + module.LET_GO
    made[0].deadline = 0.0
    reloader.tick()
    assert made[0].heard == [GO, HAND_OVER, "KILL"]
    ends(reloader, made[0], -9)
    assert made[1].heard == [GO]


def test_a_stop_waits_for_all_and_kills_what_boots(reloader, made):
    serve(reloader, made[0])
    reloader.changed(frozenset())
    reloader.stop()
    assert (made[0].heard, made[1].heard) == ([GO, "TERM"], ["KILL"])
    ends(reloader, made[1], -9)
    assert not reloader.over()
    ends(reloader, made[0], 0)
    assert reloader.over()
    assert reloader.code == 0


def test_a_second_stop_does_not_wait_for_long(reloader, made):
    serve(reloader, made[0])
    reloader.stop()
    reloader.stop_at_once()
    assert made[0].heard == [GO, "TERM", "TERM"]
    assert reloader.wait() <= module.AT_ONCE
    made[0].deadline = 0.0
    reloader.tick()
    ends(reloader, made[0], -9)
    assert reloader.over()
    assert reloader.code == 1


def test_quit_reaches_who_serves_and_who_finishes_and_needs_no_stop_before(reloader, made):
    serve(reloader, made[0])
    reloader.changed(frozenset())
    says(reloader, made[1], READY)
    says(reloader, made[0], RELEASED)
    says(reloader, made[1], SERVING)
    reloader.stop_at_once(signal.SIGQUIT)
    for daemon in made:
        assert daemon.heard[-1] == "QUIT"
        ends(reloader, daemon, 1)
    assert reloader.over()
    assert reloader.code == 1


@pytest.mark.parametrize("how_far", ["nothing comes", "new code boots", "new code is ready"])
def test_a_daemon_that_was_told_to_stop_stops_all_and_is_told_nothing_more(reloader, made, how_far):
    serve(reloader, made[0])
    if how_far != "nothing comes":
        reloader.changed(frozenset())
    if how_far == "new code is ready":
        says(reloader, made[1], READY)
    says(reloader, made[0], STOPPING)
    reloader.changed(frozenset())
    assert "TERM" not in made[0].heard
    assert [daemon.heard for daemon in made[1:]] == [["KILL"]] * (len(made) - 1)
    assert reloader.wait() is None, "it has its own grace"
    for daemon in made[:0:-1]:
        ends(reloader, daemon, -9)
    ends(reloader, made[0], 0)
    assert reloader.over()
    assert (reloader.code, len(made)) == (0, 1 if how_far == "nothing comes" else 2)


def test_a_daemon_that_a_task_has_ended_with_code_0_is_started_again(reloader, made):
    serve(reloader, made[0])
    ends(reloader, made[0], 0)
    assert not reloader.stopping
    reloader.failures.retry = 0.0
    reloader.tick()
    serve(reloader, made[1])
    assert reloader.serving is made[1]


@pytest.mark.parametrize(("code", "expected"), [(0, 0), (1, 1), (5, 5), (-9, 1)])
def test_the_exit_code_of_a_stop_is_the_daemons(reloader, made, code, expected):
    serve(reloader, made[0])
    reloader.stop()
    ends(reloader, made[0], code)
    assert reloader.code == expected
