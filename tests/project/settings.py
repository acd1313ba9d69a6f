"""A small real site for the tests. The environment names its database and its node's URL."""

import json
import os

SECRET_KEY = os.environ.get("SHOP_SECRET_KEY", "only for tests")
DEBUG = False
ALLOWED_HOSTS = ["*"]
USE_TZ = True
ROOT_URLCONF = "tests.project.urls"
WSGI_APPLICATION = "tests.project.wsgi.application"
INSTALLED_APPS = ["django_ztask", "tests.project.shop"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("SHOP_DATABASE", ":memory:"),
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL;",
        },
    }
}
ZTASKD_URL = "tcp://127.0.0.1:5555"
ZTASKD_RETRY_COUNT = 2
ZTASKD_RETRY_AFTER = 0.1
ZTASKD_CHILD_NICE = 0  # many tests run beside each other: what they wait for is not to starve

# What a test wants otherwise: {"ZTASKD_URL": "ipc:///...", ...}
globals().update(json.loads(os.environ.get("SHOP_SETTINGS", "{}")))
