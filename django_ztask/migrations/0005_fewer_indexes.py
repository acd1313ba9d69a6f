"""Without the indexes that no statement uses: Django's second ones for LIKE on PostgreSQL, and that of an
attempt's task, which `ztask_attempt_once` begins with."""

from typing import Any

import django.db.models.deletion
from django.db import migrations, models

LIKE = """SELECT indexrelid::regclass::text FROM pg_index JOIN pg_opclass ON pg_opclass.oid = ANY(indclass)
    WHERE opcname IN ('varchar_pattern_ops', 'text_pattern_ops') AND NOT indisunique
    AND indrelid = 'django_ztask_task'::regclass"""


def drop_like(apps: object, schema_editor: Any) -> None:
    connection = schema_editor.connection
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(LIKE)
            for (name,) in cursor.fetchall():
                cursor.execute(f"DROP INDEX {name}")


class Migration(migrations.Migration):
    dependencies = [("django_ztask", "0004_pruning_and_states")]

    operations = [
        migrations.RunPython(drop_like, migrations.RunPython.noop, hints={"model_name": "task"}),
        migrations.AlterField(
            model_name="attempt",
            name="task",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="unsuccessful",
                to="django_ztask.task",
            ),
        ),
    ]
