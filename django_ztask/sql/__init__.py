"""The journal's statements, one module for each database. Only journal.py executes them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper as Connection

# Engines by Django's vendor name.
VENDORS = ("sqlite", "postgresql")


def of(connection: Connection) -> Any:
    """The module with `connection`'s statements. Raises ValueError for a database we cannot journal on."""
    if connection.vendor not in VENDORS:
        raise ValueError(f"ztaskd journals on SQLite and PostgreSQL, not on {connection.vendor}")
    return import_module(f"{__name__}.{connection.vendor}")
