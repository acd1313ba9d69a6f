"""django-ztask installed beside ztaskd is found by the system checks."""

from __future__ import annotations

import pytest

from tests.upgrade.oldsite import SqliteSite


@pytest.mark.parametrize(
    "name", ["django_ztask-0.1.5.dist-info/METADATA", "django_ztask-0.1.5-py3.11.egg-info/PKG-INFO"]
)
def test_the_old_distribution_is_a_warning_with_what_to_do(sqlite_site: SqliteSite, name):
    metadata = sqlite_site.folder / name
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 1.0\nName: django-ztask\nVersion: 0.1.5\n")
    assert "W004" not in sqlite_site.manage("check")
    sqlite_site.python_path.append(str(sqlite_site.folder))
    said = sqlite_site.manage("check")
    assert "ztaskd.W004" in said
    assert "django-ztask 0.1.5 is installed" in said
    assert "pip uninstall django-ztask" in said
