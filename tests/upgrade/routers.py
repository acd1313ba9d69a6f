"""A database router for the tests: django_ztask has no table anywhere."""

from __future__ import annotations


class Nowhere:
    def allow_migrate(self, db, app_label, **hints):
        return False if app_label == "django_ztask" else None
