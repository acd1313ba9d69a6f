"""Where a task runs, and the index of queued rows by it. (On SQLite the new column rebuilds the table: the old index
goes first, so that it is not made again in vain.)"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("django_ztask", "0005_fewer_indexes")]

    operations = [
        migrations.RemoveIndex(model_name="task", name="ztask_queued"),
        migrations.AddField(
            model_name="task",
            name="pool",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text='Where it runs: "greenlet", "process", or "" for what the node takes it to.',
                max_length=10,
            ),
        ),
        migrations.AlterField(
            model_name="attempt",
            name="kind",
            field=models.CharField(
                choices=[
                    ("failure", "failure"),
                    ("interrupted", "interrupted"),
                    ("crash", "crash"),
                    ("refused", "refused"),
                ],
                max_length=12,
            ),
        ),
        migrations.AddIndex(
            model_name="task",
            index=models.Index(
                condition=models.Q(("status", "QUEUED")),
                fields=["pool", "priority", "next_attempt", "created"],
                name="ztask_queued",
            ),
        ),
    ]
