"""Django for the tests that run in this process: the test site's settings. Hypothesis: no dice, no clock. And what
the mark `both_databases` means, in every folder.
"""

import os

import django
import hypothesis
import pytest

from tests import postgres

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.project.settings"
django.setup()

hypothesis.settings.register_profile("ztaskd", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("ztaskd")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.definition.get_closest_marker("both_databases"):
        metafunc.parametrize("vendor", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def vendor(request: pytest.FixtureRequest) -> str:
    """The kind of database of a test's journal."""
    name = str(getattr(request, "param", "sqlite"))
    if name == "postgresql":
        try:
            postgres.server()
        except postgres.NotFound as error:
            pytest.skip(str(error))
    return name
