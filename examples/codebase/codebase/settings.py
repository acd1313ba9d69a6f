"""Settings of the demo project: SQLite, one app, and where django-ztask finds its daemon."""

from __future__ import annotations

import os
import stat
import tempfile
import zlib
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = BASE_DIR / "var"  # everything a run writes; git-ignored


def private_folder() -> Path:
    """A folder only this user can enter: whoever can reach the socket can have tasks executed."""
    folder = VAR_DIR / "run"
    if len(os.fsencode(folder)) > 90:  # a Unix socket path may have about 100 bytes in all
        name = f"ztask-demo-{os.getuid()}-{zlib.crc32(os.fsencode(BASE_DIR)):08x}"
        folder = Path(tempfile.gettempdir()) / name
    VAR_DIR.mkdir(exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()  # in a shared /tmp somebody else may have made that name first
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise ImproperlyConfigured(f"{folder} must be a folder of yours with mode 0700")
    return folder


SECRET_KEY = "not-a-secret-this-demo-serves-no-web-pages"
USE_TZ = True
TIME_ZONE = "UTC"  # of the log too, since Django sets it for the whole process
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["django_ztask", "indexer"]

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": VAR_DIR / "db.sqlite3",
        # Two processes write here. WAL lets readers go on meanwhile; IMMEDIATE makes a writer queue up
        # (for at most `timeout` seconds) instead of failing with "database is locked" half-way.
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL;",
        },
    }
}

# A socket file instead of a TCP port: no port can be busy, and file permissions guard it.
ZTASKD_URL = f"ipc://{private_folder() / 'ztaskd.sock'}"
ZTASKD_RETRY_COUNT = 2
ZTASKD_RETRY_AFTER = 0.3  # seconds; short, because a file that does not parse will not parse later either
