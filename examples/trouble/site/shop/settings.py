"""The shop of scripts/trouble: SQLite, and one daemon at a socket beside it."""

from pathlib import Path

BASE_DIR = Path(__file__).resolve().parents[1]

SECRET_KEY = "of a shop that exists for three minutes"
INSTALLED_APPS = ["django_ztask"]
USE_TZ, TIME_ZONE = True, "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": BASE_DIR / "db.sqlite3",
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL;",
        },
    }
}
EMAIL_HOST, EMAIL_PORT, EMAIL_TIMEOUT = "127.0.0.1", int((BASE_DIR / "mail.port").read_text()), 2

ZTASKD_IMPORTS = ["shop.tasks"]
ZTASKD_NODE = "web1"
ZTASKD_URL = f"ipc://{BASE_DIR}/run/ztaskd"
