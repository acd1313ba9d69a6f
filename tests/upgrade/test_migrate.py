"""An old table comes home: each shape, by each way to migrate, on both databases; no row is lost."""

from __future__ import annotations

import pytest

from tests.upgrade import pickles
from tests.upgrade.oldsite import COLUMNS, OldSite, SqliteSite

WAYS = {
    "documented": [["migrate", "django_ztask", "--fake", "0001"], ["migrate", "django_ztask"]],
    "plain": [["migrate"]],
    "fake-initial": [["migrate", "--fake-initial"]],
}
MARK = "tests.project.shop.tasks.mark"


def row(uuid, args, kwargs, *, failed=None, created=None, exception=None, due=1338546600.5, retries=3):
    return (uuid, MARK, args, kwargs, retries, exception, due, failed, created)


def kinds():
    """A queued row of every readable kind, then one of every other kind."""
    rows = [row(f"read-{n:02}", args, kwargs) for n, (args, kwargs, _) in enumerate(pickles.READ)]
    return rows + [row(f"unread-{n:02}", args, kwargs) for n, (args, kwargs, _) in enumerate(pickles.UNREAD)]


# uuid, failed, created: in no order.
FAILED = [
    ("d", "2012-06-04 10:00:00", "2012-05-03 10:00:00"),
    ("a", "2012-06-01 10:00:00", "2012-05-04 10:00:00"),
    ("C", "2012-06-02 10:00:00", "2012-05-01 10:00:00.5"),
    ("b", "2012-06-02 10:00:00", "2012-05-01 10:00:00"),
    ("e", "2012-06-02 10:00:00", None),
]


def failed_rows():
    return [
        row(
            uuid,
            "(S'x'\ntp0\n.",
            pickles.NO_KWARGS,
            failed=failed,
            created=created,
            exception="boom",
            due=None,
        )
        for uuid, failed, created in FAILED
    ]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("shape", ["no created", "created", "created by hand", "fresh"])
def test_every_shape_comes_home_by_every_way(old_site: OldSite, fill, shape, way):
    by_hand = {"no created": None, "created": "datetime", "created by hand": "varchar(40)"}
    rows = [*kinds(), *failed_rows()]
    if shape != "fresh":
        fill(old_site, rows, by_hand[shape])
    for command in WAYS[way]:
        old_site.manage(*command)
    tasks = old_site.tasks()
    if shape == "fresh":
        assert tasks == []
        return

    found = {task["uuid"]: task for task in tasks}
    assert set(found) == {row[0] for row in rows}
    for n, (_, _, (args, kwargs)) in enumerate(pickles.READ):
        task = found[f"read-{n:02}"]
        assert task["call"] == repr((args, kwargs))
        assert task["status"] == "QUEUED"
        assert (task["next_attempt"], task["queue"], task["priority"]) == (1338546600.5, "default", 0)
    for n, (args, kwargs, reason) in enumerate(pickles.UNREAD):
        task = found[f"unread-{n:02}"]
        assert (task["status"], task["codec"], task["args"], task["kwargs"]) == (
            "FAILED",
            "legacy",
            args,
            kwargs,
        )
        assert reason in task["last_exception"]
        assert task["failed"] == task["finished"] is not None

    order = [task["uuid"] for task in tasks if task["last_exception"] == "boom"]
    # By failed, then uuid (capitals first); or by created, where it is known.
    assert order == (["a", "C", "b", "e", "d"] if shape == "no created" else ["b", "C", "d", "a", "e"])
    for uuid in order:
        assert found[uuid]["status"] == "FAILED"
        assert found[uuid]["failed"] == found[uuid]["finished"]
        assert found[uuid]["failed"].startswith("2012-06-0")
        assert found[uuid]["next_attempt"] is not None


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (
            "text",
            ["2012-05-01T10:00:00Z", "2012-05-02 12:00:00+02:00", "2012-05-03 10:00:00.25", " ", "soon"],
        ),
        ("varchar(20)", ["2012-05-01T10:00:00Z", "2012-05-02 10:00:00", "1336039200.25", "", "soon"]),
        ("date", ["2012-05-01", "2012-05-02", "2012-05-03"]),
        ("timestamp", ["2012-05-01 10:00:00", "2012-05-02 10:00:00", "2012-05-03 10:00:00.25"]),
        ("integer", [1335866400, 1335952800, 1336039200]),
        ("bigint", [1335866400000, 1335952800000, 1336039200250]),
        ("double precision", [1335866400.0, 1335952800.0, 1336039200.25]),
        ("datetime", ["2012-05-01 10:00:00", "2012-05-02 10:00:00", "2012-05-03 10:00:00.25"]),
    ],
)
def test_created_of_another_type_keeps_its_values(old_site: OldSite, fill, kind, values):
    rows = [
        row(str(n), "(S'x'\ntp0\n.", pickles.NO_KWARGS, failed="2012-06-01 10:00:00", created=value)
        for n, value in enumerate(values)
    ]
    fill(old_site, rows, kind)
    said = old_site.manage("migrate", "django_ztask")
    created = {task["uuid"]: task["created"] for task in old_site.tasks()}
    hour, fraction = ("00", "") if kind == "date" else ("10", "" if kind == "integer" else ".250000")
    assert created["0"] == f"2012-05-01T{hour}:00:00+00:00"
    assert created["1"] == f"2012-05-02T{hour}:00:00+00:00"
    assert created["2"] == f"2012-05-03T{hour}:00:00{fraction}+00:00"
    if len(values) > 3:  # what is no time
        assert created["3"] == "2012-06-01T10:00:00+00:00"
        assert created["4"] == "2012-06-01T10:00:00.000001+00:00"
        assert "'soon' (4)" in said
    types = "SELECT type FROM pragma_table_info('django_ztask_task') WHERE name = 'created'"
    if isinstance(old_site, SqliteSite):
        assert old_site.sql(types) == ["datetime"]


def test_a_table_without_a_legacy_column_stops_with_its_name(old_site: OldSite):
    old_site.create_table()
    old_site.sql("ALTER TABLE django_ztask_task DROP COLUMN kwargs")
    for way in WAYS["plain"], WAYS["documented"]:
        *before, last = way
        for command in before:
            old_site.manage(*command)
        said = old_site.manage(*last, exit_code=1)
        assert "CommandError: The table django_ztask_task exists, but lacks kwargs" in said
        assert "Traceback" not in said


def test_a_column_that_django_ztask_never_had_stops_before_anything_changes(old_site: OldSite, fill):
    fill(old_site, failed_rows())
    old_site.sql("ALTER TABLE django_ztask_task ADD COLUMN note text")
    said = old_site.manage("migrate", exit_code=1)
    assert "columns that django-ztask never had: note" in said
    assert len(old_site.sql("SELECT note FROM django_ztask_task")) == len(FAILED)


def test_sqlmigrate_zero_and_makemigrations_stay_fine(old_site: OldSite, fill):
    fill(old_site, failed_rows())
    assert "CREATE TABLE" in old_site.manage("sqlmigrate", "django_ztask", "0001")
    assert "ADD COLUMN" in old_site.manage("sqlmigrate", "django_ztask", "0002")
    assert "ztask_failed" in old_site.manage("sqlmigrate", "django_ztask", "0003")
    old_site.manage("migrate")
    assert "No changes" in old_site.manage("makemigrations", "--check", "--dry-run")
    old_site.manage("migrate", "django_ztask", "zero")
    old_site.manage("migrate")
    assert old_site.tasks() == []


def test_a_second_run_changes_nothing_that_ztaskd_has_written(old_site: OldSite, fill):
    fill(old_site, [*kinds(), *failed_rows()])
    old_site.manage("migrate")
    tasks = old_site.tasks()
    said = old_site.manage("shell", "-v0", "-c", """
from django.db import connection
from django_ztask import oldrows
from django_ztask.models import Task
oldrows.upgrade(connection)
print([task.uuid for task in Task.objects.failed()])
""")  # fmt: skip
    assert old_site.tasks() == tasks
    assert said.strip() == str([task["uuid"] for task in tasks if task["status"] == "FAILED"])


def test_without_pickle_what_needs_it_is_failed_with_the_reason(sqlite_site: SqliteSite, fill):
    fill(sqlite_site, [row("a", pickles.DATETIME, pickles.NO_KWARGS), row("b", "(S'x'\nt.", "(d.")])
    sqlite_site.settings["ZTASKD_PICKLE"] = False
    sqlite_site.manage("migrate")
    found = {task["uuid"]: task for task in sqlite_site.tasks()}
    assert (found["a"]["status"], found["b"]["status"]) == ("FAILED", "QUEUED")
    assert "ZTASKD_PICKLE is False" in found["a"]["last_exception"]


def test_nothing_that_sqlite_lets_in_stops_it(sqlite_site: SqliteSite, fill):
    good = "(S'x'\ntp0\n."
    rows = [
        row("nul", good, pickles.NO_KWARGS, failed="2012-06-01 10:00:00", exception="a\0b"),
        row("blob", good.encode(), pickles.NO_KWARGS.encode(), exception=b"\xff"),
        row("number", 5, pickles.NO_KWARGS, exception=7),
        row("when", good, pickles.NO_KWARGS, failed="once", created="2012-13-45 99:00:00"),
    ]
    fill(sqlite_site, rows, "datetime")
    sqlite_site.sql(
        "INSERT INTO django_ztask_task (uuid, function_name, args, kwargs, retry_count, last_exception, failed) "
        "VALUES ('bytes', 'f', CAST(X'285327ff270a742e' AS TEXT), '(d.', 0, CAST(X'66ff' AS TEXT), 1338546600)"
    )
    sqlite_site.manage("migrate")
    found = {task["uuid"]: task for task in sqlite_site.tasks()}
    assert found["nul"]["last_exception"] == "a\\x00b"
    assert (found["blob"]["call"], found["blob"]["last_exception"]) == ("(('x',), {})", "\xff")
    assert (found["number"]["status"], found["number"]["args"]) == ("FAILED", "5")
    assert found["number"]["last_exception"].endswith("\nBefore that: 7")
    assert (found["bytes"]["call"], found["bytes"]["last_exception"]) == ("(('\xff',), {})", "f\xff")
    assert found["bytes"]["failed"] == "2012-06-01T10:30:00+00:00"
    assert found["when"]["status"] == "FAILED"
    assert found["when"]["failed"] is not None


def test_a_hostile_row_runs_nothing(old_site: OldSite, fill):
    marker = old_site.folder / "marker"
    hostile = pickles.hostile(f"touch {marker}")
    fill(old_site, [row("a", hostile, pickles.NO_KWARGS), row("b", pickles.NO_ARGS, hostile)])
    old_site.manage("migrate")
    assert not marker.exists()
    for task in old_site.tasks():
        assert task["status"] == "FAILED"
        assert "it names posix.system" in task["last_exception"]


def test_many_rows_are_read_in_batches(old_site: OldSite, fill):
    fill(old_site, [row(f"{n:04}", f"(I{n}\nt.", pickles.NO_KWARGS) for n in range(1201)])
    old_site.manage("migrate")
    assert [task["call"] for task in old_site.tasks()] == [f"(({n},), {{}})" for n in range(1201)]


def test_another_database_than_the_journals_stays_as_it_is(sqlite_site: SqliteSite, fill):
    """A router keeps the app's tables from a database: then nothing of it is looked at there."""
    fill(sqlite_site, failed_rows())
    sqlite_site.settings["DATABASE_ROUTERS"] = ["tests.upgrade.routers.Nowhere"]
    sqlite_site.manage("migrate")
    info = sqlite_site.sql("SELECT name FROM pragma_table_info('django_ztask_task')")
    assert info == COLUMNS
