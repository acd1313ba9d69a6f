"""The journal: the columns beyond django-ztask's own, and the tables Attempt and Node. Old rows are brought
up to date, once."""

from typing import Any

import django.db.models.deletion
from django.db import migrations, models

from django_ztask import oldrows


def upgrade_old_rows(apps: object, schema_editor: Any) -> None:
    oldrows.upgrade(schema_editor.connection)


class Migration(migrations.Migration):
    dependencies = [
        ("django_ztask", "0002_auto__add_field_task_created"),
    ]

    operations = [
        migrations.CreateModel(
            name="Attempt",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("attempt", models.IntegerField()),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("failure", "failure"),
                            ("interrupted", "interrupted"),
                            ("refused", "refused"),
                        ],
                        max_length=12,
                    ),
                ),
                ("node", models.CharField(max_length=36)),
                ("started", models.DateTimeField(blank=True, null=True)),
                ("finished", models.DateTimeField()),
                ("exception", models.TextField()),
                ("traceback", models.TextField(blank=True)),
            ],
            options={
                "db_table": "django_ztask_attempt",
            },
        ),
        migrations.CreateModel(
            name="Node",
            fields=[
                ("boot", models.CharField(max_length=36, primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=100)),
                ("host", models.CharField(max_length=255)),
                ("pid", models.IntegerField()),
                ("url", models.TextField()),
                ("version", models.CharField(max_length=40)),
                ("started", models.DateTimeField()),
                ("lease", models.FloatField(help_text="Counts as alive until this time, epoch seconds.")),
            ],
            options={
                "db_table": "django_ztask_node",
            },
        ),
        migrations.AddField(
            model_name="task",
            name="attempts",
            field=models.IntegerField(default=0, help_text="Starts, ever; the fence of every finish."),
        ),
        migrations.AddField(
            model_name="task",
            name="claimed",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="task",
            name="codec",
            field=models.CharField(blank=True, default="", max_length=10),
        ),
        migrations.AddField(
            model_name="task",
            name="crashes",
            field=models.IntegerField(default=0),
        ),
        migrations.AddField(
            model_name="task",
            name="failures",
            field=models.IntegerField(default=0),
        ),
        migrations.AddField(
            model_name="task",
            name="finished",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="task",
            name="interruptions",
            field=models.IntegerField(default=0),
        ),
        migrations.AddField(
            model_name="task",
            name="mac",
            field=models.CharField(blank=True, default="", max_length=64),
        ),
        migrations.AddField(
            model_name="task",
            name="meta",
            field=models.JSONField(blank=True, help_text="The call's own policy.", null=True),
        ),
        migrations.AddField(
            model_name="task",
            name="node",
            field=models.CharField(
                blank=True, help_text="Boot id of the claiming node.", max_length=36, null=True
            ),
        ),
        migrations.AddField(
            model_name="task",
            name="priority",
            field=models.SmallIntegerField(default=0, help_text="Higher starts first."),
        ),
        migrations.AddField(
            model_name="task",
            name="queue",
            field=models.CharField(default="default", max_length=100),
        ),
        migrations.AddField(
            model_name="task",
            name="replays",
            field=models.IntegerField(default=0),
        ),
        migrations.AddField(
            model_name="task",
            name="result",
            field=models.TextField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="task",
            name="started",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="task",
            name="status",
            field=models.CharField(
                choices=[
                    ("QUEUED", "Queued"),
                    ("RUNNING", "Running"),
                    ("SUCCEEDED", "Succeeded"),
                    ("FAILED", "Failed"),
                    ("CANCELLED", "Cancelled"),
                ],
                default="QUEUED",
                max_length=10,
            ),
        ),
        migrations.AddField(
            model_name="task",
            name="traceback",
            field=models.TextField(blank=True, help_text="Of the last failure.", null=True),
        ),
        migrations.AlterField(
            model_name="task",
            name="next_attempt",
            field=models.FloatField(blank=True, help_text="Due time, epoch seconds.", null=True),
        ),
        migrations.AlterField(
            model_name="task",
            name="retry_count",
            field=models.IntegerField(default=0, help_text="Retries left."),
        ),
        # Before the indexes, which are then made once over what came out.
        migrations.RunPython(upgrade_old_rows, migrations.RunPython.noop, hints={"model_name": "task"}),
        migrations.AddIndex(
            model_name="task",
            index=models.Index(
                condition=models.Q(("status", "QUEUED")),
                fields=["priority", "next_attempt", "created"],
                name="ztask_queued",
            ),
        ),
        migrations.AddIndex(
            model_name="task",
            index=models.Index(
                condition=models.Q(("status", "RUNNING")), fields=["node"], name="ztask_running"
            ),
        ),
        migrations.AddIndex(
            model_name="task",
            index=models.Index(
                condition=models.Q(("status", "FAILED")), fields=["created", "uuid"], name="ztask_failed"
            ),
        ),
        migrations.AddField(
            model_name="attempt",
            name="task",
            field=models.ForeignKey(
                db_constraint=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="unsuccessful",
                to="django_ztask.task",
            ),
        ),
        migrations.AddConstraint(
            model_name="attempt",
            constraint=models.UniqueConstraint(fields=("task", "attempt"), name="ztask_attempt_once"),
        ),
    ]
