"""Migration operations that take over a table which django-ztask 0.1 has made: whatever is there already
is checked and kept, whatever is missing is made. Used by migrations 0001 and 0002 alone.
"""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError
from django.db import migrations

from django_ztask import oldrows, rows

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper as Connection
    from django.db.backends.base.schema import BaseDatabaseSchemaEditor as SchemaEditor
    from django.db.models import Model


class CreateOrAdopt(migrations.CreateModel):
    """CreateModel that keeps a table of this name, once it has the columns it should have."""

    def database_forwards(
        self, app_label: str, schema_editor: SchemaEditor, from_state: Any, to_state: Any
    ) -> None:
        model = to_state.apps.get_model(app_label, self.name)
        connection = schema_editor.connection
        if self.allow_migrate_model(connection.alias, model) and not schema_editor.collect_sql:
            found = columns(connection, model)
            if found:
                refuse_missing(model, found)
                return
        super().database_forwards(app_label, schema_editor, from_state, to_state)


class AddFieldIfMissing(migrations.AddField):
    """AddField that keeps a column of this name, once it is brought to its type.

    Makes the table as well if it is not there: the migration before was faked on an empty database.
    """

    def database_forwards(
        self, app_label: str, schema_editor: SchemaEditor, from_state: Any, to_state: Any
    ) -> None:
        before = from_state.apps.get_model(app_label, self.model_name)
        model = to_state.apps.get_model(app_label, self.model_name)
        connection = schema_editor.connection
        if self.allow_migrate_model(connection.alias, model) and not schema_editor.collect_sql:
            found = columns(connection, model)
            if not found:
                schema_editor.create_model(before)
            else:
                refuse_missing(before, found)
                refuse_unknown(model, found)
            if model._meta.get_field(self.name).column in found:
                retype_created(schema_editor)
                return
        super().database_forwards(app_label, schema_editor, from_state, to_state)


def columns(connection: Connection, model: type[Model]) -> set[str]:
    """The names of the columns that the model's table has; none if it does not exist."""
    table = model._meta.db_table
    with connection.cursor() as cursor:
        if table not in connection.introspection.table_names(cursor):
            return set()
        return {column.name for column in connection.introspection.get_table_description(cursor, table)}


def refuse_missing(model: type[Model], found: set[str]) -> None:
    missing = [str(field.column) for field in model._meta.fields if field.column not in found]
    if missing:
        raise CommandError(
            f"The table {model._meta.db_table} exists, but lacks {', '.join(missing)}: it is not the one of "
            "django-ztask 0.1. Add what is missing, or rename the table (a new one is made then), and run "
            "migrate again."
        )


def refuse_unknown(model: type[Model], found: set[str]) -> None:
    """On SQLite, later migrations rebuild the table with our columns only: others would silently go."""
    unknown = sorted(found - {field.column for field in model._meta.fields})
    if unknown:
        raise CommandError(
            f"The table {model._meta.db_table} has columns that django-ztask never had: {', '.join(unknown)}. "
            "Move what you need of them to a table of your own, drop them, and run migrate again."
        )


def retype_created(schema_editor: SchemaEditor) -> None:
    """Brings a column `created` that somebody added by hand, whatever its type, to that of a DateTimeField.
    Its values stay: texts, dates, times without a zone, seconds since the epoch."""
    connection = schema_editor.connection
    if connection.vendor == "sqlite":
        # The column's declared type changes when 0003 rebuilds the table; values have types of their own.
        oldrows.mend_created(connection, lambda micros: str(rows.stamp(connection, micros / 1e6)))
    elif connection.vendor == "postgresql" and _type_of_created(connection) != "timestamp with time zone":
        alter = "ALTER TABLE django_ztask_task ALTER COLUMN created"
        schema_editor.execute(f"{alter} DROP DEFAULT")
        schema_editor.execute(f"{alter} DROP NOT NULL")
        schema_editor.execute(f"{alter} TYPE text USING created::text")
        oldrows.mend_created(connection, _iso)
        schema_editor.execute(f"{alter} TYPE timestamp with time zone USING created::timestamptz")


def _type_of_created(connection: Connection) -> str:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT format_type(atttypid, NULL) FROM pg_attribute "
            "WHERE attrelid = 'django_ztask_task'::regclass AND attname = 'created'"
        )
        return str(cursor.fetchone()[0])


def _iso(micros: int) -> str:
    return datetime.datetime.fromtimestamp(micros / 1e6, datetime.UTC).isoformat()
