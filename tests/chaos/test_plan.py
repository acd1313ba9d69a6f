"""The same seed is the same plan; the command line refuses what cannot be done."""

import pytest

from tests.chaos import plan
from tests.chaos.options import parse


def calls(seed):
    return [list(plan.operations(seed, client, thread, 500)) for client in (0, 1) for thread in (0, 1)]


def test_the_same_seed_makes_the_same_calls():
    assert calls("1/0") == calls("1/0")
    assert calls("1/0") != calls("2/0")


def test_every_thread_makes_as_many_calls_as_it_was_told_each_with_a_token_of_its_own():
    tokens = [item.token for thread in calls("1/0") for operation in thread for item in operation.items]
    assert len(tokens) == len(set(tokens)) == 2000


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
@pytest.mark.parametrize(("kills", "others"), [(0, 0), (1, 0), (0, 3), (10, 10), (7, 50), (60, 5)])
def test_as_many_faults_are_planned_as_were_asked_for(database, kills, others):
    faults = plan.faults("1/0", database, kills, others, 2)
    assert faults == plan.faults("1/0", database, kills, others, 2)
    assert sum(fault.kind == "kill" for fault in faults) == kills
    assert len(faults) == kills + others
    assert [fault.at for fault in faults] == sorted(fault.at for fault in faults)
    assert all(0 < fault.at < 1 for fault in faults)


def test_kills_are_spread_over_the_run():
    kills = [fault.at for fault in plan.faults("1/0", "sqlite", 10, 10, 2) if fault.kind == "kill"]
    assert min(kills) < 0.2
    assert max(kills) > 0.75


def test_children_run_some_of_the_same_calls():
    def shape(operation):
        return operation.kind, operation.rollback, [(item.token, item.function) for item in operation.items]

    without, beside = (list(plan.operations("1/0", 0, 0, 2000, children)) for children in (False, True))
    assert [shape(operation) for operation in without] == [shape(operation) for operation in beside]
    in_children = [item for operation in beside for item in operation.items if item.in_child]
    assert 20 <= len(in_children) <= 400
    assert max(item.ms for item in in_children) >= 20


@pytest.mark.parametrize("number", [0, 1, 10])
def test_as_many_faults_of_children_are_planned_as_were_asked_for(number):
    faults = plan.child_faults("1/0", number)
    assert faults == plan.child_faults("1/0", number)
    assert len(faults) == number
    assert all(fault.kind in plan.CHILD_FAULTS and 0 < fault.at < 1 for fault in faults)
    assert all(fault.seconds > 0 for fault in faults if fault.kind == "child-stop")


@pytest.mark.parametrize("parts", [1, 3, 7, 20])
def test_rounds_share_everything(parts):
    assert sum(plan.share(200, parts, part) for part in range(parts)) == 200


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--tasks", "0"], "not a whole number, 1 or more"),
        (["--kills", "-1"], "not a whole number, 0 or more"),
        (["--database", "mysql"], "invalid choice"),
        (["--tasks", "3"], "at least one for each thread and round"),
        (["--tasks", "100", "--kills", "6"], "at most one for every 20 tasks"),
        (["--full"], "name its --folder"),
        (["--only", "lock", "--database", "postgresql"], "choose from"),
        (["--lie", "white"], "choose from"),
        (["--children", "0", "--child-faults", "3"], "there are no children"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_reason(arguments, reason, capsys):
    with pytest.raises(SystemExit) as end:
        parse(arguments)
    assert end.value.code == 2
    assert reason in capsys.readouterr().err


def test_a_folder_with_other_things_in_it_is_refused(tmp_path, capsys):
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(SystemExit):
        parse(["--folder", str(tmp_path)])
    assert "other files" in capsys.readouterr().err


def test_the_command_that_does_the_same_again_is_the_same_run():
    options = parse(["--tasks", "900", "--kills", "4", "--only", "cut", "--database", "postgresql"])
    assert parse(options.repro.split()[1:]).identity == options.identity
