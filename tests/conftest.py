"""Django for the tests that run in this process: the test site's settings. Hypothesis: no dice, no clock."""

import os

import django
import hypothesis

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.project.settings"
django.setup()

hypothesis.settings.register_profile("ztaskd", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("ztaskd")
