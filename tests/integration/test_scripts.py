"""Task functions and values of a script run as __main__: they work by an importable name, or are refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from django_ztask.models import Task
from tests.integration.helpers import ROOT, environment


def recorded() -> set[str]:
    return set(Task.objects.values_list("uuid", flat=True))


SCRIPT = """
import django; django.setup()
from django_ztask.decorators import task
class Parcel: pass
@task()
def pack(what): ...
if __name__ == "__main__":
    print(pack.name)
    print(pack.async_("box").id)
"""


def run_main(path: Path, database: Path, tmp_path: Path, *command: str) -> subprocess.CompletedProcess[str]:
    env = environment(database, ZTASKD_URL=f"ipc://{tmp_path}/nobody")
    return subprocess.run(
        [sys.executable, *(command or (str(path),))],
        cwd=path.parent,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_script_in_the_projects_folder_enqueues_under_its_importable_name(
    database: Path, tmp_path: Path
) -> None:
    (tmp_path / "play.py").write_text(SCRIPT)
    done = run_main(tmp_path / "play.py", database, tmp_path)
    assert done.returncode == 0, done.stderr
    name, task_id = done.stdout.split()
    assert name == "play.pack"
    assert Task.objects.get(uuid=task_id).function_name == "play.pack"


def test_a_module_run_with_m_enqueues_under_its_full_name(database: Path, tmp_path: Path) -> None:
    (tmp_path / "boutique").mkdir()
    (tmp_path / "boutique" / "__init__.py").touch()
    (tmp_path / "boutique" / "play.py").write_text(SCRIPT)
    done = run_main(tmp_path / "x", database, tmp_path, "-m", "boutique.play")
    assert done.stdout.startswith("boutique.play.pack"), done.stderr


def test_a_script_that_is_imported_by_its_own_name_as_well_does_not_collide(
    database: Path, tmp_path: Path
) -> None:
    (tmp_path / "helper.py").write_text("import play\n")
    (tmp_path / "play.py").write_text(SCRIPT + "    import helper\n")
    done = run_main(tmp_path / "play.py", database, tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["my-play.py", "play"])
def test_a_script_that_nothing_could_import_is_refused_with_a_hint(
    name: str, database: Path, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(SCRIPT)
    done = run_main(tmp_path / name, database, tmp_path)
    assert done.returncode == 1
    assert "NotImportable" in done.stderr
    assert "Move it to a module of the project" in done.stderr
    assert recorded() == set()


def test_code_given_with_c_is_refused_with_a_hint(database: Path, tmp_path: Path) -> None:
    done = run_main(tmp_path / "x", database, tmp_path, "-c", SCRIPT)
    assert done.returncode == 1
    assert "Move it to a module of the project" in done.stderr
    assert recorded() == set()


PARCEL = SCRIPT.replace('"box"', "Parcel()")


def test_a_value_that_only_main_knows_is_refused_by_name(database: Path, tmp_path: Path) -> None:
    (tmp_path / "play.py").write_text(PARCEL)
    done = run_main(tmp_path / "play.py", database, tmp_path)
    assert "ArgumentError" in done.stderr
    assert "argument 1 (Parcel)" in done.stderr
    assert recorded() == set()


MAIN = """
import sys
from django_ztask.serialize import dump_call
from django_ztask.errors import ArgumentError
class Thing: pass
def function(): pass
for value in (Thing(), Thing, function, [Thing(), Thing()]):
    try:
        dump_call(["x", value], {})
    except ArgumentError as error:
        assert "argument 2" in str(error) and "__main__" in str(error), error
    else:
        sys.exit(f"{value} was taken")
print("ok")
"""


def test_what_only_the_callers_own_main_could_load_is_refused() -> None:
    done = subprocess.run([sys.executable, "-c", MAIN], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout == "ok\n", done.stderr
