"""Since when a running task is to end, and the index by which pruning finds what was cancelled long ago."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("django_ztask", "0006_pool")]

    operations = [
        migrations.AddField(
            model_name="task",
            name="cancel_requested",
            field=models.DateTimeField(
                blank=True, help_text="Since when it is to end, and not to run again.", null=True
            ),
        ),
        migrations.AddIndex(
            model_name="task",
            index=models.Index(
                condition=models.Q(("status", "CANCELLED")), fields=["finished"], name="ztask_cancelled"
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
                    ("cancelled", "cancelled"),
                    ("refused", "refused"),
                ],
                max_length=12,
            ),
        ),
    ]
